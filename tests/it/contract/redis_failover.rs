//! A Redis that becomes another's replica: what it says then is no passing trouble.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trackops::ports::cache::{Cache as _, CacheEntry, CacheError};
use trackops::redis::{RedisCache, RedisSettings};
use trackops_domain::ids::{OrderId, Version};
use uuid::Uuid;
use xtask::servers::RedisLaunch;

use crate::support::moving_name::MovingName;
use crate::support::own_servers::Own;
use crate::support::wait::until;

fn entry(version: u32) -> CacheEntry {
    CacheEntry {
        order: OrderId(Uuid::now_v7()),
        version: Version(version),
        generation: 1,
        is_final: false,
        view: Bytes::from_static(b"{}"),
    }
}

fn address(server: &Own<RedisLaunch>) -> SocketAddr {
    let url = server.url();
    let address = url.trim_start_matches("redis://").parse();
    address.expect("an address")
}

async fn tell(server: SocketAddr, command: &[&str]) -> String {
    let client = redis::Client::open(format!("redis://{server}")).expect("url");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis");
    let (name, arguments) = command.split_first().expect("a command");
    let mut command = redis::cmd(name);
    command.arg(arguments);
    let answer = command.query_async(&mut connection).await;
    answer.unwrap_or_else(|error| panic!("{error}"))
}

async fn follow(follower: SocketAddr, leader: SocketAddr) {
    let port = leader.port().to_string();
    tell(follower, &["REPLICAOF", "127.0.0.1", &port]).await;
    until("the replica has caught up", || async {
        let said = tell(follower, &["INFO", "replication"]).await;
        said.contains("master_link_status:up").then_some(())
    })
    .await;
}

/// As the client words it: `ReadOnly: …`.
fn cause(error: &CacheError) -> String {
    let source = std::error::Error::source(error);
    let text = source.map(ToString::to_string).unwrap_or_default();
    text.to_uppercase()
}

#[tokio::test]
async fn a_demoted_redis_is_left_for_the_one_that_was_promoted() {
    let (old, new) = tokio::join!(Own::<RedisLaunch>::start(), Own::<RedisLaunch>::start());
    let (old_at, new_at) = (address(&old), address(&new));
    follow(new_at, old_at).await;
    let name = MovingName::of(old_at).await;

    let mut settings =
        RedisSettings::new(format!("redis://{}", name.address)).with_prefix("failover:");
    // A busy test machine is no slow cache.
    settings.response_timeout = Duration::from_secs(2);
    let cache = RedisCache::connect(settings).await.expect("good settings");
    let before = entry(1);
    cache.put(std::slice::from_ref(&before)).await.expect("put");
    cache.ping().await.expect("it can be written");

    let key = format!("failover:order:{{{}}}", before.order);
    until("the replica has it too", || async {
        let kept = tell(new_at, &["GETRANGE", &key, "0", "28"]).await;
        (kept.len() == 29).then_some(())
    })
    .await;
    tell(new_at, &["REPLICAOF", "NO", "ONE"]).await;
    follow(old_at, new_at).await;
    // It answers, and can be read; whether it is of use is another matter.
    let found = cache.get(&[before.order]).await.expect("a read");
    assert_eq!(found, [Some(before.clone())]);
    let error = cache.ping().await.expect_err("a replica is no cache");
    assert!(cause(&error).contains("READONLY"), "{error:?}");
    // While the name leads there, nothing is there: reads would tell what is old.
    for _ in 0..3 {
        let error = cache.put(&[entry(1)]).await.expect_err("not connected");
        assert!(cause(&error).contains("READONLY"), "{error:?}");
        assert!(cache.get(&[before.order]).await.is_err());
    }
    assert_eq!(cache.session(), 1, "no connection that can't be written");

    name.lead_to(new_at);
    let since = Instant::now();
    until("the promoted one is used", || async {
        cache.ping().await.ok()
    })
    .await;
    eprintln!("used again after {:?}", since.elapsed());
    assert_eq!(cache.session(), 2, "what it lacks is distrusted");
    let after = entry(2);
    cache.put(std::slice::from_ref(&after)).await.expect("put");
    let key = format!("failover:order:{{{}}}", after.order);
    let kept = tell(new_at, &["GETRANGE", &key, "0", "28"]).await;
    assert_eq!(kept.len(), 29, "{kept}");
}
