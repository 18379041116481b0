//! A producer with wrong keys floods a topic while a replica comes and goes, on a real Kafka.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use trackops::messaging::orders;
use trackops::model::topic::{Topic, dead_letter_topic};
use trackops::ports::bus::{
    Beside, Bus, BusError, Consumer, InMessage, OutMessage, Polled, PublishError, RawMessage,
    Subscription,
};
use trackops::ports::clock::SystemClock;
use uuid::Uuid;

use crate::contract::bus::BusFixture;
use crate::contract::kafka::Kafka;
use crate::saga::world::World;
use crate::support::wait::within;

/// More than a consumer takes in hand of each partition, a few times over.
const FLOOD: usize = 20_000;

/// A static member's session, a rebalance and the flood, on a machine that does other things beside.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the consumer under test has been told and has done.
#[derive(Default)]
struct Seen {
    paused: AtomicUsize,
    revoked: AtomicUsize,
}

/// The bus with dead letters that wait for a gate.
struct Gated {
    bus: Arc<dyn Bus>,
    gate: Semaphore,
    seen: Arc<Seen>,
}

#[async_trait]
impl Bus for Gated {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        self.bus.publish(messages).await
    }

    async fn forward(&self, message: RawMessage) -> Result<(), PublishError> {
        let _open = self.gate.acquire().await.unwrap();
        self.bus.forward(message).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        let consumer = self.bus.subscribe(subscription).await?;
        let seen = Arc::clone(&self.seen);
        Ok(Box::new(Watched { consumer, seen }))
    }

    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        self.bus.missing_topics(topics).await
    }

    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError> {
        self.bus.create_topics(topics).await
    }

    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        self.bus.read(topic, from, limit).await
    }
}

struct Watched {
    consumer: Box<dyn Consumer>,
    seen: Arc<Seen>,
}

#[async_trait]
impl Consumer for Watched {
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError> {
        let polled = self.consumer.poll(max, timeout).await;
        if let Ok(Polled::Revoked(places)) = &polled {
            self.seen.revoked.fetch_add(places.len(), Ordering::Relaxed);
        }
        polled
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        self.consumer.commit(next)
    }

    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        self.consumer.pause(partitions).await?;
        self.seen
            .paused
            .fetch_add(partitions.len(), Ordering::Relaxed);
        Ok(())
    }

    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        self.consumer.resume(partitions).await
    }

    fn lag(&mut self) -> Beside<std::collections::BTreeMap<Arc<str>, u64>> {
        self.consumer.lag()
    }

    async fn close(self: Box<Self>) {
        self.consumer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_goes_on_after_a_replica_has_come_and_gone() {
    let kafka = Kafka::new();
    let bus = kafka.connect().await;
    let topics: Vec<Arc<str>> = Topic::all_with_dead_letters()
        .into_iter()
        .map(Into::into)
        .collect();
    bus.create_topics(&topics).await.unwrap();
    flood(&*bus).await;
    let gated = Arc::new(Gated {
        bus: Arc::clone(&bus),
        gate: Semaphore::new(0),
        seen: Arc::default(),
    });
    let (seen, shutdown) = (Arc::clone(&gated.seen), CancellationToken::new());
    let world = Arc::new(World::stocked());
    let clock = Arc::new(SystemClock);
    let first = orders::runner(Arc::clone(&gated) as _, world, clock, "n1");
    let first = tokio::spawn(first.run(shutdown.clone()));
    until("backpressure", async || {
        seen.paused.load(Ordering::Relaxed) >= 4
    })
    .await;

    let mut second = kafka
        .connect()
        .await
        .subscribe(Subscription {
            group: orders::GROUP.into(),
            topics: orders::TOPICS
                .iter()
                .map(|topic| topic.as_str().into())
                .collect(),
            member: "n2".into(),
        })
        .await
        .unwrap();
    let mut takes_over = false;
    while !takes_over {
        let polled = second.poll(10, Duration::from_secs(20)).await.unwrap();
        takes_over = matches!(polled, Polled::Messages(got) if !got.is_empty());
    }
    assert!(seen.revoked.load(Ordering::Relaxed) > 0);
    second.close().await;

    // As many as ever wait.
    gated.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let letters = dead_letter_topic(Topic::FulfillmentUpdates.as_str());
    until("each of them to be parked", async || {
        // A broker that is busy may not lead its partitions for a moment.
        let read = bus
            .read(&letters, None, FLOOD * 3)
            .await
            .unwrap_or_default();
        let origins: BTreeSet<(&str, &str)> = read
            .iter()
            .filter_map(|m| Some((m.header("dlq_partition")?, m.header("dlq_offset")?)))
            .collect();
        origins.len() == FLOOD
    })
    .await;
    shutdown.cancel();
    first.await.unwrap();
}

/// Reports under keys that aren't their orders'.
async fn flood(bus: &dyn Bus) {
    let topic: Arc<str> = Topic::FulfillmentUpdates.as_str().into();
    for _ in 0..FLOOD / 1_000 {
        let report = |_| OutMessage {
            topic: Arc::clone(&topic),
            key: Uuid::new_v4().to_string().into(),
            headers: Vec::new(),
            payload: json!({"orderId": Uuid::new_v4(), "status": "PREPARING"})
                .to_string()
                .into(),
        };
        for result in bus.publish((0..1_000).map(report).collect()).await {
            result.unwrap();
        }
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let seen = within(PATIENCE, || async { holds().await.then_some(()) }).await;
    seen.unwrap_or_else(|| panic!("waited in vain for {what}"));
}
