//! PostgreSQL, Redis and Kafka away from a cluster, or from one replica of it.

use std::collections::BTreeMap;
use std::time::Duration;

use xtask::servers::{KafkaLaunch, PostgresLaunch};

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, LEASE_MS, Plan};
use super::history::History;
use super::wire::Wire;
use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::order;
use crate::support::deployment::Options;
use crate::support::environment::{self, free_port};
use crate::support::own_servers::Own;
use crate::support::wait::until;

#[tokio::test]
async fn shards_move_and_are_taken_over_while_kafka_is_away() {
    let mut kafka = Own::<KafkaLaunch>::start().await;
    let options = Options {
        kafka: Some(kafka.url()),
        ..Options::default()
    };
    let plan = Plan {
        options,
        ..Plan::default()
    };
    let mut fleet = Fleet::start(2, plan).await;
    let client = fleet.deployment.client.clone();
    let (told, history) = (Acknowledged::default(), History::default());
    let mut orders = Vec::new();
    for _ in 0..12 {
        let begun = history.now();
        let placed = client.place(&order(), None).await.expect(201);
        history.told(placed.id(), super::history::Kind::Write, begun, 1);
        told.note_view(&placed.body);
        orders.push(placed.id());
    }
    for id in &orders {
        client.reaches(*id, "CONFIRMED").await;
    }
    let advance = async |to: &str| {
        for id in &orders {
            let begun = history.now();
            let step = client.advance(*id, to, &[]).await.expect(200);
            told.note_view(&step.body);
            history.told(*id, super::history::Kind::Write, begun, step.version());
        }
    };

    kafka.kill().await;
    // Moves: a newcomer gets its share.
    let listen = format!("127.0.0.1:{}", free_port());
    let newcomer = fleet.launch("order-c", vec![("TRACKOPS_LINK_LISTEN", listen)]);
    fleet.start_launch(newcomer).await;
    fleet.balanced(3).await;
    advance("PREPARING").await;
    // A takeover.
    fleet.replica(1).kill();
    fleet.balanced(2).await;
    advance("IN_TRANSIT").await;

    kafka.restart().await;
    fleet.replica(1).restart(None).await;
    fleet.balanced(3).await;
    let placed = client.place(&order(), None).await.expect(201);
    client.reaches(placed.id(), "CONFIRMED").await;
    fleet.check(&told, &history, &[]).await;
}

#[tokio::test]
async fn nothing_stale_is_read_while_one_replica_is_without_redis() {
    let shared = environment::redis();
    let at = shared.trim_start_matches("redis://");
    let (host, rest) = at.split_once('/').unwrap_or((at, "0"));
    let wire = Wire::before(host.parse().expect("an address")).await;
    let through = format!("redis://{}/{rest}", wire.address);
    // So that reads come from the cache and not from live actors.
    let environment = vec![
        ("TRACKOPS_PASSIVATE_LIVE_MS", "200".into()),
        ("TRACKOPS_PASSIVATE_FINAL_MS", "200".into()),
    ];
    let options = Options {
        environment,
        ..Options::default()
    };
    let plan = Plan {
        options,
        only: vec![(1, "TRACKOPS_REDIS_URL", through)],
        ..Plan::default()
    };
    let mut fleet = Fleet::start(3, plan).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    assert!(!wire.connected().is_empty(), "the replica uses the wire");
    wire.cut();
    watched.clients.more(40).await;
    // Its shards, with what Redis has missed of them, come to others that have Redis, and back.
    let drained = fleet.node(1);
    fleet.replica(1).signal("TERM");
    let status = fleet.replica(1).exit(crate::support::wait::LONG).await;
    assert!(status.expect("it stops").success(), "{drained}");
    fleet.balanced(2).await;
    watched.clients.more(40).await;
    fleet.replica(1).restart(None).await;
    fleet.balanced(3).await;
    watched.clients.more(30).await;
    wire.mend();
    watched.clients.more(40).await;
    // Killed, it leaves them to others that have always had Redis.
    fleet.replica(1).kill();
    fleet.balanced(2).await;
    watched.clients.more(40).await;
    watched.finish(&mut fleet).await;
}

/// The replicas that say that a shard is theirs, by shard.
async fn claimed(fleet: &Fleet) -> BTreeMap<u64, Vec<usize>> {
    let mut claimed: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for number in 0..fleet.len() {
        let shards = fleet.admin(number, "shards").await;
        for shard in shards["items"].as_array().into_iter().flatten() {
            let owners = claimed.entry(shard["shard"].as_u64().unwrap_or(u64::MAX));
            let owners = owners.or_default();
            if shard["here"]["standing"] != "free" {
                owners.push(number);
            }
        }
    }
    claimed
}

#[tokio::test]
async fn no_claim_is_lost_or_doubled_when_postgres_goes_and_comes_back() {
    let mut postgres = Own::<PostgresLaunch>::start().await;
    let options = Options {
        postgres: Some(postgres.url()),
        ..Options::default()
    };
    let plan = Plan {
        options,
        ..Plan::default()
    };
    let mut fleet = Fleet::start(3, plan).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    for away in [Duration::ZERO, Duration::from_millis(2 * LEASE_MS)] {
        postgres.kill().await;
        // Shorter than a lease, and longer.
        tokio::time::sleep(away).await;
        postgres.restart().await;
        fleet.balanced(3).await;
        watched.clients.more(30).await;
        until(
            "every shard is one replica's, as they say themselves",
            || async {
                let claimed = claimed(&fleet).await;
                let is_sound =
                    claimed.len() == 16 && claimed.values().all(|owners| owners.len() == 1);
                is_sound.then_some(())
            },
        )
        .await;
    }
    watched.finish(&mut fleet).await;
}
