//! The bus on a real Kafka: the port's contract, and what only Kafka has.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;
use trackops::kafka::{KafkaBus, KafkaSettings};
use trackops::ports::bus::{Bus, OutMessage, Polled, PublishError, Subscription};
use trackops::ports::groups::Groups;
use uuid::Uuid;

use xtask::servers::KafkaLaunch;

use crate::contract::bus::BusFixture;
use crate::contract::groups::GroupsFixture;
use crate::support::own_servers::Own;
use crate::support::wait::LONG;

/// A prefix of its own on the shared broker.
pub(crate) struct Kafka(KafkaSettings);

impl Kafka {
    pub(crate) fn new() -> Self {
        let brokers = std::env::var("TRACKOPS_TEST_KAFKA_BROKERS")
            .expect("TRACKOPS_TEST_KAFKA_BROKERS must name a Kafka (cargo xtask test sets it)");
        Self(KafkaSettings {
            prefix: format!("it-{}.", Uuid::now_v7().simple()),
            partitions: 4,
            ..KafkaSettings::new(brokers)
        })
    }
}

#[async_trait]
impl BusFixture for Kafka {
    async fn connect(&self) -> Arc<dyn Bus> {
        Arc::new(KafkaBus::new(self.0.clone()).unwrap())
    }
}

#[async_trait]
impl GroupsFixture for Kafka {
    async fn groups(&self) -> Arc<dyn Groups> {
        Arc::new(KafkaBus::new(self.0.clone()).unwrap())
    }
}

crate::bus_contract!(async { Kafka::new() });
crate::groups_contract!(async { Kafka::new() });

/// Two processes under one member name: the older one is told, and comes back as a new member
/// instead of going on with partitions that are no longer its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_member_of_the_same_name_ends_the_first_ones_assignment() {
    let kafka = Kafka::new();
    let bus = kafka.connect().await;
    let topic: Arc<str> = "T".into();
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    let subscription = Subscription {
        group: "g".into(),
        topics: vec![Arc::clone(&topic)],
        member: "same".into(),
    };
    let mut first = bus.subscribe(subscription.clone()).await.unwrap();
    bus.publish(vec![message(&topic, "1")])
        .await
        .remove(0)
        .unwrap();
    let pause = Duration::from_millis(100);
    let limit = Instant::now() + Duration::from_secs(30);
    let mut got = 0;
    while got == 0 && Instant::now() < limit {
        if let Polled::Messages(messages) = first.poll(10, pause).await.unwrap() {
            got += messages.len();
        }
    }
    assert_eq!(got, 1);
    let mut second = bus.subscribe(subscription).await.unwrap();
    let (mut told, mut taken) = (false, false);
    while !(told && taken) && Instant::now() < limit {
        if !taken && let Ok(Polled::Messages(messages)) = second.poll(10, pause).await {
            taken = !messages.is_empty();
        }
        if !told && let Ok(Polled::Revoked(gone)) = first.poll(10, pause).await {
            told = gone.len() == 4;
        }
    }
    assert!(told && taken, "told: {told}, taken: {taken}");
    first.close().await;
    second.close().await;
}

/// Nothing hangs when nobody listens, and every call says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_an_error_in_time() {
    let bus = KafkaBus::new(KafkaSettings::new("127.0.0.1:1")).unwrap();
    let topic: Arc<str> = "T".into();
    let topics = [Arc::clone(&topic)];
    let calls = async {
        tokio::join!(
            bus.publish(vec![message(&topic, "1"), message(&topic, "2")]),
            bus.missing_topics(&topics),
            bus.read("T", None, 1),
        )
    };
    let (published, missing, read) = timeout(LONG, calls).await.unwrap();
    assert!(matches!(
        published[..],
        [
            Err(PublishError::Unavailable(_)),
            Err(PublishError::Unavailable(_))
        ]
    ));
    assert!(missing.is_err() && read.is_err());
    let subscription = Subscription {
        group: "g".into(),
        topics: vec![topic],
        member: "m".into(),
    };
    let mut consumer = bus.subscribe(subscription).await.unwrap();
    let until_failed =
        async { while consumer.poll(1, Duration::from_millis(100)).await.is_ok() {} };
    timeout(LONG, until_failed).await.unwrap();
    timeout(LONG, consumer.close()).await.unwrap();
}

/// However many attempts to connect an outage has seen, the consumer learns of it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_outage_leaves_behind_does_not_hold_up_the_messages() {
    const ATTEMPTS: usize = 12;
    let mut kafka = Own::<KafkaLaunch>::start().await;
    let often = [
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "20"),
    ];
    let bus = KafkaBus::new(KafkaSettings {
        properties: often
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..KafkaSettings::new(kafka.url())
    })
    .unwrap();
    let topic: Arc<str> = "T".into();
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    let pause = Duration::from_millis(100);
    let limit = Instant::now() + Duration::from_secs(60);
    let (mut idle, mut watching) = (None, None);
    for (group, consumer) in [("idle", &mut idle), ("watching", &mut watching)] {
        let consumer = consumer.insert(
            bus.subscribe(Subscription {
                group: group.into(),
                topics: vec![Arc::clone(&topic)],
                member: group.into(),
            })
            .await
            .unwrap(),
        );
        let mut published = bus.publish(vec![message(&topic, "before")]).await;
        published.remove(0).unwrap();
        while !matches!(consumer.poll(1, pause).await, Ok(Polled::Messages(got)) if !got.is_empty())
        {
            assert!(Instant::now() < limit, "{group} read nothing");
        }
    }
    let (mut idle, mut watching) = (idle.unwrap(), watching.unwrap());

    kafka.kill().await;
    // It takes one error a poll, and so counts what the idle one, which tries as often, piles up.
    let mut attempts = 0;
    while attempts < ATTEMPTS {
        assert!(Instant::now() < limit, "only {attempts} errors");
        attempts += usize::from(watching.poll(1, pause).await.is_err());
    }
    kafka.restart().await;
    let mut failures = 0;
    loop {
        assert!(Instant::now() < limit, "{failures} errors, and no message");
        match idle.poll(500, pause).await {
            Err(_) => failures += 1,
            Ok(Polled::Messages(got)) if !got.is_empty() => break,
            Ok(_) => {
                bus.publish(vec![message(&topic, "after")]).await;
            }
        }
    }
    // One for the outage; the group's coordinator may be a moment later than its broker.
    assert!(failures <= 3, "{failures} polls failed after the outage");
    tokio::join!(idle.close(), watching.close());
}

/// A broker that stands still for longer than its session, is put away by its controller and comes back
/// has everything that it acknowledged: before the pause, in it and while its partitions had no leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_fenced_has_what_it_acknowledged() {
    const PAUSE: Duration = Duration::from_secs(8);
    const BATCH: usize = 20;
    let kafka = Own::<KafkaLaunch>::start().await;
    let bus = KafkaBus::new(KafkaSettings {
        partitions: 4,
        ..KafkaSettings::new(kafka.url())
    })
    .unwrap();
    let topic: Arc<str> = "T".into();
    bus.create_topics(&[Arc::clone(&topic)]).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut next = 0_usize;
    let end = Instant::now() + PAUSE * 2;
    let (mut paused_at, mut is_paused) = (Instant::now() + Duration::from_millis(200), false);
    let mut since_resumed = 0;
    while is_paused || Instant::now() < end || since_resumed < 10 * BATCH {
        if !is_paused && paused_at <= Instant::now() && Instant::now() < end {
            kafka.pause();
            is_paused = true;
        }
        let batch: Vec<usize> = (next..next + BATCH).collect();
        next += BATCH;
        let messages = batch.iter().map(|n| numbered(&topic, *n)).collect();
        let mut publishing = std::pin::pin!(bus.publish(messages));
        let results = loop {
            tokio::select! {
                results = &mut publishing => break results,
                // How long it stands still is what is tested.
                () = tokio::time::sleep_until((paused_at + PAUSE).into()), if is_paused => {
                    kafka.resume();
                    is_paused = false;
                    paused_at = Instant::now() + Duration::from_millis(500);
                    since_resumed = 0;
                }
            }
        };
        for (n, result) in batch.into_iter().zip(results) {
            if result.is_ok() {
                acknowledged.insert(n.to_string());
                since_resumed += 1;
            }
        }
    }
    let there = bus.read(&topic, None, next * 2).await.unwrap();
    let there: BTreeSet<String> = there
        .into_iter()
        .map(|message| String::from_utf8(message.payload.unwrap().to_vec()).unwrap())
        .collect();
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

fn numbered(topic: &Arc<str>, number: usize) -> OutMessage {
    OutMessage {
        key: format!("k{number}").into(),
        payload: number.to_string().into(),
        ..message(topic, "")
    }
}

fn message(topic: &Arc<str>, value: &'static str) -> OutMessage {
    OutMessage {
        topic: Arc::clone(topic),
        key: "k".into(),
        headers: Vec::new(),
        payload: Bytes::from_static(value.as_bytes()),
    }
}
