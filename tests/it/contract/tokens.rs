//! The tokens' contract on Redis, and limiters that share it as replicas do.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use trackops::config::{Rate, Rates};
use trackops::limits::{Address, Class, RateLimiter, Settings, Verdict};
use trackops::ports::tokens::{Draw, Drawn, TokenStore};
use trackops::redis::{RedisSettings, RedisTokens};
use uuid::Uuid;
use xtask::servers::RedisLaunch;

use crate::support::own_servers::Own;
use crate::support::wait::until;

fn redis_url() -> String {
    std::env::var("TRACKOPS_TEST_REDIS_URL")
        .expect("set TRACKOPS_TEST_REDIS_URL, or run the tests by `cargo xtask test`")
}

fn settings(url: String) -> RedisSettings {
    let prefix = format!("test-{}:", Uuid::now_v7().simple());
    let mut settings = RedisSettings::new(url).with_prefix(prefix);
    // A busy test machine is no slow store.
    settings.response_timeout = Duration::from_secs(2);
    settings
}

async fn store(settings: &RedisSettings) -> RedisTokens {
    let store = RedisTokens::connect(settings.clone()).await;
    store.expect("good settings")
}

fn draw(bucket: &str, wanted: u32) -> Draw {
    Draw {
        bucket: bucket.into(),
        interval_us: 50_000,
        burst: 10,
        wanted,
    }
}

async fn drawn(store: &RedisTokens, draw: &Draw) -> Drawn {
    store.draw(draw).await.expect("redis is there")
}

#[tokio::test]
async fn a_bucket_gives_its_burst_then_its_rate() {
    let store = store(&settings(redis_url())).await;
    let first = drawn(&store, &draw("a", 4)).await;
    assert_eq!((first.granted, first.full_in_us), (4, 200_000));
    let begun = Instant::now();
    let rest = drawn(&store, &draw("a", 100)).await;
    let grown = u32::try_from(begun.elapsed().as_millis() / 50).expect("a short test");
    assert!((6..=7 + grown).contains(&rest.granted), "{rest:?}");
    assert!((450_001..=500_000).contains(&rest.full_in_us), "{rest:?}");
    let begun = Instant::now();
    assert_eq!(drawn(&store, &draw("b", 100)).await.granted, 10, "another");
    // It fills by Redis' clock, at its pace.
    until("a token has come", || async {
        (drawn(&store, &draw("a", 1)).await.granted == 1).then_some(())
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_full_bucket_is_no_key() {
    let settings = settings(redis_url());
    let store = store(&settings).await;
    drawn(&store, &draw("a", 4)).await;
    let client = redis::Client::open(redis_url()).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis is there");
    let key = format!("{}a", settings.prefix);
    let left: i64 = redis::cmd("PTTL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("an answer");
    assert!(left <= 200, "{left} ms");
    // What a clock that was an hour ahead has left is an empty bucket, no more.
    let ahead = 4_000_000_000_000_000_u64;
    redis::cmd("SET")
        .arg(&key)
        .arg(ahead)
        .exec_async(&mut connection)
        .await
        .expect("an answer");
    let empty = drawn(&store, &draw("a", 4)).await;
    assert_eq!((empty.granted, empty.full_in_us), (0, 500_000));
}

/// Fifty a second, thirty at once.
const RATE: Rate = Rate {
    count: 50,
    period_s: 1,
    burst: 30,
};
/// A tenth of the burst.
const CHUNK: u32 = 6;
const REPLICAS: u32 = 3;

fn limiter(store: Arc<dyn TokenStore>) -> RateLimiter {
    let people = Rates {
        read: Some(RATE),
        ..Rates::default()
    };
    let settings = Settings {
        store: Some(store),
        replicas: Box::new(|| REPLICAS),
        draw_wait: Duration::from_secs(10),
        ..Settings::new(people, Rates::default())
    };
    RateLimiter::new(settings).expect("reads are limited")
}

fn client() -> Address {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)).into()
}

async fn is_admitted(limiter: &RateLimiter) -> bool {
    let verdict = limiter.count(Class::Read, None, client()).await;
    matches!(verdict, Some(Verdict::Admitted(_)))
}

/// Asks as often as it can until `end`; a pause now and then lets others run.
async fn flood(limiter: RateLimiter, admitted: Arc<AtomicU32>, end: Instant) {
    while Instant::now() < end {
        if is_admitted(&limiter).await {
            admitted.fetch_add(1, Ordering::Relaxed);
        } else {
            // The load itself: a refused client that comes back at once, five hundred times a second.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// At most rate × time + burst + replicas × chunk.
fn bound(lasted: Duration) -> f64 {
    lasted.as_secs_f64() * f64::from(RATE.count) + f64::from(RATE.burst + REPLICAS * CHUNK)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_admit_together_what_one_limit_says() {
    let settings = settings(redis_url());
    let admitted = Arc::new(AtomicU32::new(0));
    let begun = Instant::now();
    let (half, end) = (
        begun + Duration::from_millis(1500),
        begun + Duration::from_secs(3),
    );
    let mut floods = JoinSet::new();
    for replica in 0..REPLICAS {
        let limiter = limiter(Arc::new(store(&settings).await));
        // One dies half way, with what it holds.
        let end = if replica == 0 { half } else { end };
        for _ in 0..4 {
            floods.spawn(flood(limiter.clone(), Arc::clone(&admitted), end));
        }
    }
    floods.join_all().await;
    let (admitted, bound) = (admitted.load(Ordering::Relaxed), bound(begun.elapsed()));
    assert!(f64::from(admitted) <= bound, "{admitted} of {bound}");
    assert!(f64::from(admitted) >= bound * 0.7, "{admitted} of {bound}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_that_takes_all_gets_the_whole() {
    let settings = settings(redis_url());
    let mut idle = Vec::new();
    for _ in 1..REPLICAS {
        let limiter = limiter(Arc::new(store(&settings).await));
        assert!(is_admitted(&limiter).await);
        idle.push(limiter);
    }
    let admitted = Arc::new(AtomicU32::new(0));
    let busy = limiter(Arc::new(store(&settings).await));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(2);
    flood(busy, Arc::clone(&admitted), end).await;
    let admitted = f64::from(admitted.load(Ordering::Relaxed));
    let whole = begun.elapsed().as_secs_f64() * f64::from(RATE.count);
    assert!(admitted >= whole * 0.8, "{admitted} of {whole}");
    assert!(admitted <= bound(begun.elapsed()));
}

#[tokio::test]
async fn without_redis_each_replica_takes_its_share_until_it_is_back() {
    let mut redis = Own::<RedisLaunch>::start().await;
    let settings = settings(redis.url());
    let limiter = limiter(Arc::new(store(&settings).await));
    assert!(is_admitted(&limiter).await);
    redis.kill().await;
    // Each request is answered, whatever is known of the store.
    let (mut admitted, begun) = (0_u32, Instant::now());
    for _ in 0..200 {
        admitted += u32::from(is_admitted(&limiter).await);
    }
    // Its third of burst and rate, and what was drawn before.
    let share = begun.elapsed().as_secs_f64() * f64::from(RATE.count) / f64::from(REPLICAS);
    let most = f64::from(RATE.burst / REPLICAS + CHUNK + 1) + share;
    assert!(f64::from(admitted) <= most, "{admitted} of {most}");
    assert!(admitted >= 5, "{admitted}");

    redis.restart().await;
    until("limits are shared again", || async {
        // A burst that no share has.
        let mut at_once = 0;
        while is_admitted(&limiter).await {
            at_once += 1;
        }
        (at_once > RATE.burst / REPLICAS + CHUNK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up() {
    let redis = Own::<RedisLaunch>::start().await;
    let mut settings = settings(redis.url());
    settings.response_timeout = Duration::from_millis(50);
    let people = Rates {
        read: Some(RATE),
        ..Rates::default()
    };
    let limiter = RateLimiter::new(Settings {
        store: Some(Arc::new(store(&settings).await)),
        replicas: Box::new(|| REPLICAS),
        ..Settings::new(people, Rates::default())
    });
    let limiter = limiter.expect("reads are limited");
    redis.pause();
    let begun = Instant::now();
    let mut admitted = 0_u32;
    for _ in 0..100 {
        admitted += u32::from(is_admitted(&limiter).await);
    }
    // One of them has waited for the first draw.
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(admitted >= 10, "{admitted}");
    redis.resume();
}
