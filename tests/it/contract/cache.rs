//! The cache's contract, on Redis and in memory, and what only Redis can get wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trackops::embedded::cache::MemoryCache;
use trackops::model::position::Position;
use trackops::ports::cache::{Cache, CacheEntry};
use trackops::redis::{RedisCache, RedisSettings};
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::support::wait::LONG;

/// A time-out that no test lives to see: what waits for it fails after [`LONG`].
const AGES: Duration = Duration::from_hours(1);

fn redis_url() -> String {
    std::env::var("TRACKOPS_TEST_REDIS_URL")
        .expect("set TRACKOPS_TEST_REDIS_URL, or run the tests by `cargo xtask test`")
}

fn settings(url: impl Into<String>) -> RedisSettings {
    let mut settings =
        RedisSettings::new(url.into()).with_prefix(format!("test-{}:", Uuid::now_v7().simple()));
    // A busy test machine is no slow cache.
    settings.response_timeout = Duration::from_secs(2);
    settings
}

async fn on_redis() -> Arc<dyn Cache> {
    let cache = RedisCache::connect(settings(redis_url())).await;
    Arc::new(cache.expect("good settings"))
}

fn order() -> OrderId {
    OrderId(Uuid::now_v7())
}

fn entry(order: OrderId, generation: i64, version: u32) -> CacheEntry {
    CacheEntry {
        order,
        version: Version(version),
        generation,
        is_final: version > 4,
        view: Bytes::from(format!(
            r#"{{"version":{version},"text":"ü \u0007 {generation}"}}"#
        )),
    }
}

async fn stored(cache: &dyn Cache, order: OrderId) -> Option<(i64, u32)> {
    let found = cache.get(&[order]).await.expect("a cache that is there");
    found
        .into_iter()
        .next()
        .flatten()
        .map(|entry| (entry.generation, entry.version.0))
}

/// Entries come back as they went in, in the order asked for, unknown ones as `None`.
async fn keeps_a_batch(cache: &dyn Cache) {
    let entries: Vec<_> = (1..=200).map(|n| entry(order(), 7, n)).collect();
    cache.put(&entries).await.expect("put");
    let mut asked: Vec<_> = entries.iter().map(|entry| entry.order).rev().collect();
    asked.insert(1, order());
    let mut found = cache.get(&asked).await.expect("get");
    assert_eq!(found.remove(1), None);
    let expected: Vec<_> = entries.into_iter().rev().map(Some).collect();
    assert_eq!(found, expected);
    assert_eq!(cache.get(&[]).await.expect("get nothing"), vec![]);
    cache.put(&[]).await.expect("put nothing");
}

/// A higher generation always wins; within one the higher version; the same again does no harm.
async fn the_newer_wins(cache: &dyn Cache) {
    for (first, second, winner) in [
        ((5, 3), (5, 4), (5, 4)),
        ((5, 4), (5, 3), (5, 4)),
        ((5, 4), (5, 4), (5, 4)),
        ((5, 9), (6, 1), (6, 1)),
        ((6, 1), (5, 9), (6, 1)),
        ((9, 10), (10, 9), (10, 9)),
        ((1, 9), (1, 10), (1, 10)),
        ((1, 10), (1, 9), (1, 10)),
    ] {
        let id = order();
        for (generation, version) in [first, second] {
            let entry = entry(id, generation, version);
            cache.put(std::slice::from_ref(&entry)).await.expect("put");
        }
        assert_eq!(
            stored(cache, id).await,
            Some(winner),
            "{first:?} {second:?}"
        );
    }
    let twice = order();
    let batch = [entry(twice, 1, 2), entry(order(), 1, 1), entry(twice, 1, 1)];
    cache.put(&batch).await.expect("put");
    assert_eq!(stored(cache, twice).await, Some((1, 2)));
}

/// Writers that race leave the highest version.
async fn races_leave_the_newest(cache: &Arc<dyn Cache>) {
    let id = order();
    let mut writers = JoinSet::new();
    for version in [3, 1, 8, 2, 7, 5, 6, 4] {
        let cache = Arc::clone(cache);
        writers.spawn(async move { cache.put(&[entry(id, 2, version)]).await });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no panic").expect("put");
    }
    assert_eq!(stored(&**cache, id).await, Some((2, 8)));
}

/// Positions come back exactly, the last one, wherever on earth, until dropped.
async fn keeps_positions(cache: &dyn Cache) {
    let id = order();
    assert_eq!(cache.position(id).await.expect("position"), None);
    for (lat, lon) in [(89.999, -180.0), (-90.0, 180.0), (52.520_008, 13.404_954_3)] {
        let position = Position {
            lat,
            lon,
            at: Timestamp(1_790_000_000_123),
        };
        cache.put_position(id, position).await.expect("put");
        assert_eq!(cache.position(id).await.expect("get"), Some(position));
    }
    cache.drop_position(id).await.expect("drop");
    assert_eq!(cache.position(id).await.expect("position"), None);
    cache.drop_position(id).await.expect("drop again");
}

/// The newest measurement stays, in whichever order they come; of the same moment, the last to come.
async fn the_newest_position_stays(cache: &dyn Cache) {
    let at = |lat: f64, millis: i64| Position {
        lat,
        lon: 13.4,
        at: Timestamp(millis),
    };
    let id = order();
    let moments = [
        (at(1.0, 1_790_000_000_100), 1.0),
        (at(2.0, 1_790_000_000_099), 1.0),
        (at(3.0, 1_790_000_000_100), 3.0),
        (at(4.0, 0), 3.0),
        (at(5.0, -1), 3.0),
        (at(6.0, 1_790_000_000_101), 6.0),
        (at(7.0, 179_000_000_010), 6.0),
    ];
    for (position, shown) in moments {
        cache.put_position(id, position).await.expect("put");
        let kept = cache.position(id).await.expect("get").expect("is there");
        assert!((kept.lat - shown).abs() < f64::EPSILON, "{kept:?}");
    }
    // A courier that is forgotten begins again, wherever and whenever.
    cache.drop_position(id).await.expect("drop");
    cache.put_position(id, at(8.0, 5)).await.expect("put");
    let kept = cache.position(id).await.expect("get");
    assert_eq!(kept, Some(at(8.0, 5)));
}

async fn contract(cache: Arc<dyn Cache>) {
    cache.ping().await.expect("ping");
    keeps_a_batch(&*cache).await;
    the_newer_wins(&*cache).await;
    races_leave_the_newest(&cache).await;
    keeps_positions(&*cache).await;
    the_newest_position_stays(&*cache).await;
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    contract(on_redis().await).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract(Arc::new(MemoryCache::new())).await;
}

/// Every key of ours ends by itself, a finished order's sooner; and the GEO index finds a courier.
#[tokio::test]
async fn redis_forgets_in_time() {
    let settings = settings(redis_url());
    let prefix = settings.prefix.clone();
    let cache = RedisCache::connect(settings).await.expect("good settings");
    let (live, done) = (order(), order());
    cache
        .put(&[entry(live, 1, 1), entry(done, 1, 5)])
        .await
        .expect("put");
    let position = Position {
        lat: 48.137,
        lon: 11.575,
        at: Timestamp(0),
    };
    cache.put_position(live, position).await.expect("put");

    let client = redis::Client::open(redis_url()).expect("url");
    let mut raw = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis");
    for (key, hours) in [
        (format!("{prefix}order:{{{live}}}"), 24),
        (format!("{prefix}order:{{{done}}}"), 1),
        (format!("{prefix}courier:{{{live}}}"), 1),
        (format!("{prefix}couriers"), 1),
        (format!("{prefix}couriers:seen"), 1),
    ] {
        let ttl: i64 = redis::cmd("TTL")
            .arg(&key)
            .query_async(&mut raw)
            .await
            .expect("ttl");
        let hour = 3600 * hours;
        assert!(
            (hour * 8 / 10..=hour * 11 / 10).contains(&ttl),
            "{key} {ttl}"
        );
    }
    let near: Vec<String> = redis::cmd("GEOSEARCH")
        .arg(format!("{prefix}couriers"))
        .arg(&["FROMLONLAT", "11.575", "48.137", "BYRADIUS", "10", "m"])
        .query_async(&mut raw)
        .await
        .expect("geosearch");
    assert_eq!(near, [live.to_string()]);

    // A courier that fell silent leaves the index with the next ping of another.
    let gone = order().to_string();
    let _: () = redis::pipe()
        .cmd("ZADD")
        .arg(format!("{prefix}couriers:seen"))
        .arg(&["1", &gone])
        .cmd("GEOADD")
        .arg(format!("{prefix}couriers"))
        .arg(&["11", "48", &gone])
        .query_async(&mut raw)
        .await
        .expect("add");
    cache.put_position(live, position).await.expect("put");
    let left: Vec<String> = redis::cmd("ZRANGE")
        .arg(format!("{prefix}couriers"))
        .arg(&["0", "-1"])
        .query_async(&mut raw)
        .await
        .expect("zrange");
    assert_eq!(left, [live.to_string()]);
}

/// What an older version let in, of years ahead, doesn't hold the courier there for ever.
#[tokio::test]
async fn redis_gives_up_a_position_that_nobody_can_have_measured() {
    let settings = settings(redis_url());
    let prefix = settings.prefix.clone();
    let cache = RedisCache::connect(settings).await.expect("good settings");
    let client = redis::Client::open(redis_url()).expect("url");
    let mut raw = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis");
    for there in ["52.5 13.4 4070908800000", "52.5 13.4", "somewhere"] {
        let id = order();
        let _: () = redis::cmd("SET")
            .arg(format!("{prefix}courier:{{{id}}}"))
            .arg(there)
            .query_async(&mut raw)
            .await
            .expect("set");
        let position = Position {
            lat: 48.137,
            lon: 11.575,
            at: Timestamp(1_790_000_000_000),
        };
        cache.put_position(id, position).await.expect("put");
        let kept = cache.position(id).await.expect("get");
        assert_eq!(kept, Some(position), "{there}");
    }
}

/// A server that forgot the scripts gets them again without anyone noticing.
#[tokio::test]
async fn redis_takes_forgotten_scripts_again() {
    let cache = on_redis().await;
    let client = redis::Client::open(redis_url()).expect("url");
    let mut raw = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis");
    let _: () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut raw)
        .await
        .expect("flush");
    let id = order();
    cache.put(&[entry(id, 1, 1)]).await.expect("put");
    assert_eq!(stored(&*cache, id).await, Some((1, 1)));
}

/// A way to Redis that can be cut (by ending it) or muted: then it takes bytes and passes none on.
async fn proxy(listener: TcpListener, server: String, muted: watch::Receiver<bool>) {
    let mut pairs = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let (server, mut muted) = (server.clone(), muted.clone());
        pairs.spawn(async move {
            let mut far = TcpStream::connect(server).await.expect("redis");
            // Without a sender there is nothing to wait for: that branch is off.
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                Ok(()) = async { muted.wait_for(|muted| *muted).await.map(drop) } => {}
            }
            std::future::pending::<()>().await;
        });
    }
}

/// A lost connection is an error at once, is made again by itself, and is counted before it is used.
#[tokio::test]
async fn redis_counts_its_connections() {
    let info = redis::Client::open(redis_url()).expect("url");
    let server = info.get_connection_info().addr().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let first = tokio::spawn(proxy(listener, server.clone(), watch::channel(false).1));

    let mut settings = settings(format!("redis://{address}"));
    settings.response_timeout = AGES;
    let cache = RedisCache::connect(settings).await.expect("good settings");
    let id = order();
    cache.put(&[entry(id, 1, 1)]).await.expect("put");
    assert_eq!(cache.session(), 1);

    first.abort();
    let _ = first.await;
    for _ in 0..2 {
        let answer = timeout(LONG, cache.get(&[id])).await;
        assert!(answer.expect("nobody waits").is_err());
    }
    assert_eq!(cache.session(), 1);

    let listener = TcpListener::bind(address).await.expect("the port again");
    let second = tokio::spawn(proxy(listener, server, watch::channel(false).1));
    let until = Instant::now() + Duration::from_secs(10);
    while cache.ping().await.is_err() {
        assert!(Instant::now() < until, "never connected again");
        // Between two looks.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cache.session(), 2);
    assert_eq!(stored(&cache, id).await, Some((1, 1)));
    second.abort();
}

/// A Redis that isn't there costs neither the start nor the callers any time.
#[tokio::test]
async fn redis_away_is_said_at_once() {
    let mut settings = RedisSettings::new("redis://:s3cret@127.0.0.1:1/");
    (settings.connect_timeout, settings.response_timeout) = (AGES, AGES);
    let cache = timeout(LONG, RedisCache::connect(settings)).await;
    let cache = cache.expect("nobody waits").expect("good settings");
    let answer = timeout(LONG, cache.ping()).await.expect("nobody waits");
    let error = answer.expect_err("nothing listens there");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_some_and(|text| text.contains("not connected")));
    assert!(!format!("{cache:?} {error:?}").contains("s3cret"));
}

/// A server that takes requests and never answers costs each caller the time-out, and doesn't keep it for ever.
#[tokio::test]
async fn redis_that_hangs_costs_the_time_out() {
    let info = redis::Client::open(redis_url()).expect("url");
    let server = info.get_connection_info().addr().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (mute, muted) = watch::channel(false);
    let way = tokio::spawn(proxy(listener, server, muted));

    let mut settings = settings(format!("redis://{address}"));
    settings.response_timeout = Duration::from_millis(50);
    let cache = RedisCache::connect(settings).await.expect("good settings");
    mute.send(true).expect("a proxy");
    let asked = Instant::now();
    let entry = [entry(order(), 1, 1)];
    let answer = timeout(LONG, cache.put(&entry)).await;
    assert!(answer.expect("it is given up").is_err());
    assert!(asked.elapsed() >= Duration::from_millis(50));
    way.abort();
}
