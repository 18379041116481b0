//! Both roles' consumers on a real Kafka: the saga goes round, and what can't be handled is parked,
//! shown and sent again.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trackops::messaging::dead_letters::{DeadLetter, DeadLetters, SendAgainError};
use trackops::model::topic::Topic;
use trackops::ports::bus::{Bus, RawMessage};
use trackops::ports::clock::SystemClock;
use trackops::{inventory, messaging};
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::contract::bus::BusFixture;
use crate::contract::kafka::Kafka;
use crate::saga::world::World;

const PATIENCE: Duration = Duration::from_secs(30);

/// Orders and stock in memory, both consumers on Kafka, and a relay between them.
struct Running {
    bus: Arc<dyn Bus>,
    world: World,
    letters: DeadLetters,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start() -> Self {
        let bus = Kafka::new().connect().await;
        let topics: Vec<Arc<str>> = Topic::all_with_dead_letters()
            .into_iter()
            .map(Into::into)
            .collect();
        bus.create_topics(&topics).await.unwrap();
        let world = World::stocked();
        let shutdown = CancellationToken::new();
        let (clock, shared) = (Arc::new(SystemClock), Arc::new(world.clone()));
        let stock = inventory::runner(Arc::clone(&bus), shared.clone(), clock.clone(), "n1");
        let orders = messaging::orders::runner(Arc::clone(&bus), shared, clock, "n1");
        let relay = relay(Arc::clone(&bus), world.clone(), shutdown.clone());
        let tasks = vec![
            tokio::spawn(stock.run(shutdown.clone())),
            tokio::spawn(orders.run(shutdown.clone())),
            tokio::spawn(relay),
        ];
        Self {
            letters: DeadLetters::new(Arc::clone(&bus)),
            bus,
            world,
            shutdown,
            tasks,
        }
    }

    /// A confirmed order.
    async fn order(&self) -> OrderId {
        let order = OrderId(Uuid::now_v7());
        self.world.place(order);
        self.reaches(order, Status::Confirmed).await;
        order
    }

    async fn report(&self, key: Option<OrderId>, body: serde_json::Value) {
        let message = RawMessage {
            topic: Topic::FulfillmentUpdates.as_str().into(),
            key: key.map(|order| order.to_string().into()),
            headers: Vec::new(),
            payload: Some(body.to_string().into()),
        };
        self.bus.forward(message).await.unwrap();
    }

    async fn reaches(&self, order: OrderId, status: Status) {
        let what = format!("{order} to be {status}");
        within(&what, async || {
            (self.world.order(order).status() == status).then_some(())
        })
        .await;
    }

    /// The dead letters of fulfilment once there are `count`.
    async fn letters(&self, count: usize) -> Vec<DeadLetter> {
        within("dead letters", async || {
            let topic = Topic::FulfillmentUpdates;
            // A broker that is busy may not lead its partitions for a moment.
            let letters = self.letters.list(topic, None, 100).await.ok()?;
            (letters.len() >= count).then_some(letters)
        })
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Publishes what the world has sent.
async fn relay(bus: Arc<dyn Bus>, world: World, shutdown: CancellationToken) {
    let mut next = 0;
    while !shutdown.is_cancelled() {
        for message in world.sent().into_iter().skip(next) {
            next += 1;
            let message = RawMessage {
                topic: message.topic,
                key: message.key,
                headers: {
                    let headers = message.headers.into_iter();
                    headers.map(|(k, v)| (k.into_owned(), v)).collect()
                },
                payload: message.payload,
            };
            bus.forward(message).await.unwrap();
        }
        // Spreads the messages over several polls.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn within<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // Between two looks.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_go_round_and_what_is_wrong_is_parked() {
    let running = Running::start().await;
    // Before its stock is reserved, and without a key: tried again until it fits.
    let order = OrderId(Uuid::now_v7());
    running.world.place(order);
    let early = json!({"orderId": order.0, "status": "PREPARING", "by": "oven 3"});
    running.report(None, early).await;
    running.reaches(order, Status::Preparing).await;

    // Wrong in four ways, without holding up the rest.
    let unknown = OrderId(Uuid::now_v7());
    let body = |order: OrderId, status: &str| json!({"orderId": order.0, "status": status});
    running
        .report(Some(order), json!({"orderId": order.0}))
        .await;
    running.report(Some(order), body(order, "CONFIRMED")).await;
    running
        .report(Some(unknown), body(order, "PREPARING"))
        .await;
    running.report(None, body(unknown, "PREPARING")).await;
    running.report(Some(order), body(order, "IN_TRANSIT")).await;
    running.reaches(order, Status::InTransit).await;
    assert_eq!(&*running.world.order(order).log[2].by, "oven 3");

    let letters = running.letters(4).await;
    let mut reasons: Vec<_> = letters.iter().map(|l| l.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "no such order",
            "status CONFIRMED is not for fulfilment to set",
            "status is missing",
            "the key does not match orderId",
        ]
    );
    let letter = letters.iter().find(|l| l.code == "unknown-order").unwrap();
    assert_eq!(
        (&*letter.topic, &letter.key),
        ("FULFILLMENT_UPDATES", &None)
    );
    assert!(
        letter
            .payload
            .as_deref()
            .unwrap()
            .contains(&unknown.to_string())
    );
    assert_eq!(letter.group, messaging::orders::GROUP);

    // Now the order is there.
    running.world.place(unknown);
    running.reaches(unknown, Status::Confirmed).await;
    let (topic, partition, offset) = (Topic::FulfillmentUpdates, letter.partition, letter.offset);
    let shown = running
        .letters
        .show(topic, partition, offset)
        .await
        .unwrap();
    assert_eq!(shown.as_ref(), Some(letter));
    running
        .letters
        .send_again(topic, partition, offset)
        .await
        .unwrap();
    running.reaches(unknown, Status::Preparing).await;
    let nowhere = running.letters.send_again(topic, partition, 999).await;
    assert!(matches!(nowhere, Err(SendAgainError::NotFound { .. })));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_quarantined_order_are_sent_again_on_release() {
    let running = Running::start().await;
    let (order, other) = (running.order().await, running.order().await);
    running.world.quarantine(true);
    for status in ["PREPARING", "IN_TRANSIT"] {
        running
            .report(Some(order), json!({"orderId": order.0, "status": status}))
            .await;
        running
            .report(Some(other), json!({"orderId": other.0, "status": status}))
            .await;
    }
    let letters = running.letters(4).await;
    assert!(letters.iter().all(|l| l.code == "quarantined"));
    running.world.quarantine(false);
    assert_eq!(running.letters.send_order_again(order).await.unwrap(), 2);
    running.reaches(order, Status::InTransit).await;
    assert_eq!(running.world.order(other).status(), Status::Confirmed);

    // Once more changes nothing: the order knows them.
    let version = running.world.order(order).version();
    running.letters.send_order_again(order).await.unwrap();
    running
        .report(
            Some(order),
            json!({"orderId": order.0, "status": "DELIVERED"}),
        )
        .await;
    running.reaches(order, Status::Delivered).await;
    assert_eq!(running.world.order(order).version(), version.next());
    running.stop().await;
}
