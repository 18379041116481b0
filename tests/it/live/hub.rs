//! The hub and the queues, without sockets: I7 over interleavings, bounds, and that what is gone
//! leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use trackops::live::backlog::{FrameKind, QueueLimits};
use trackops::live::hub::Hub;
use trackops::live::queue::Queue;
use trackops::ports::live::LiveHub;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::status::Status;

use crate::live::live_support::{Follower, SOMEWHERE, TestOrders};

/// So small that most runs overflow; an update has about 220 bytes.
const TIGHT: QueueLimits = QueueLimits {
    updates: 4,
    update_bytes: 1_000,
    orders: 3,
};

#[derive(Clone, Debug)]
enum Step {
    Advance(usize),
    Restart(usize),
    Locate(usize),
    Subscribe(usize, Option<u32>),
    Unsubscribe(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let order = 0_usize..3;
    prop_oneof![
        6 => order.clone().prop_map(Step::Advance),
        1 => order.clone().prop_map(Step::Restart),
        1 => order.clone().prop_map(Step::Locate),
        2 => (order.clone(), prop::option::of(0_u32..12)).prop_map(|(o, s)| Step::Subscribe(o, s)),
        1 => order.prop_map(Step::Unsubscribe),
        3 => (1_usize..6).prop_map(Step::Read),
    ]
}

struct Client {
    queue: Arc<Queue>,
    follows: HashMap<OrderId, Follower>,
}

impl Client {
    fn read(&mut self, frames: usize) -> Result<usize, String> {
        for read in 0..frames {
            let frame = self.queue.take().map_err(|e| e.to_string())?;
            let Some(frame) = frame else { return Ok(read) };
            let message: serde_json::Value =
                serde_json::from_slice(&frame.json).map_err(|e| e.to_string())?;
            let id = message["orderId"].as_str().unwrap_or_default();
            let id = OrderId(uuid::Uuid::parse_str(id).map_err(|e| e.to_string())?);
            let follower = self.follows.get_mut(&id);
            follower
                .ok_or_else(|| format!("not followed: {message}"))?
                .see(&message)?;
        }
        Ok(frames)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// I7 at the queue's end, whatever the interleaving of writers, subscriptions and a slow reader.
    #[test]
    fn a_subscriber_sees_rising_versions_and_ends_at_the_last(
        steps in prop::collection::vec(step(), 1..120),
        update_bytes in prop_oneof![Just(500_usize), Just(TIGHT.update_bytes)],
    ) {
        let limits = QueueLimits { update_bytes, ..TIGHT };
        let hub = Hub::new();
        let orders = TestOrders::new(Arc::clone(&hub));
        let ids = [orders.place(), orders.place(), orders.place()];
        let queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, limits);
        let mut client = Client { queue, follows: HashMap::new() };
        for step in steps {
            match step {
                Step::Advance(o) => { orders.advance(ids[o], Status::InTransit); }
                Step::Restart(o) => orders.restart(ids[o]),
                Step::Locate(o) => orders.locate_now(ids[o], SOMEWHERE),
                Step::Subscribe(o, since) => {
                    let version = since.map(Version);
                    client.queue.follow(ids[o], version).expect("is within the limit");
                    client.follows.insert(ids[o], Follower::new(since));
                    let session = Arc::clone(&client.queue);
                    orders.attach(ids[o], version, session).expect("was placed");
                }
                Step::Unsubscribe(o) => {
                    client.queue.unfollow(ids[o]);
                    client.follows.remove(&ids[o]);
                }
                Step::Read(frames) => { client.read(frames).map_err(TestCaseError::fail)?; }
            }
            let (items, bytes) = client.queue.backlog_size();
            prop_assert!(items <= TIGHT.updates + 2 * TIGHT.orders, "{items} items wait");
            prop_assert!(bytes <= update_bytes, "{bytes} bytes wait");
        }
        client.read(usize::MAX).map_err(TestCaseError::fail)?;
        for (id, follower) in &client.follows {
            prop_assert_eq!(follower.has, Some(orders.version(*id).0));
        }
        drop(client);
        prop_assert_eq!(hub.watched_orders(), 0);
    }
}

/// Threads instead of steps: the writer of an order, its subscribers coming and going, and readers
/// that stop and go.
#[test]
fn the_sequence_holds_between_threads() {
    const VERSIONS: u32 = 3_000;
    let hub = Hub::new();
    let orders = TestOrders::new(Arc::clone(&hub));
    let id = orders.place();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in 2..=VERSIONS {
                orders.advance(id, Status::Preparing);
                if version % 7 == 0 {
                    orders.restart(id);
                }
            }
        });
        for reader in 0..3_u32 {
            let (hub, orders) = (Arc::clone(&hub), &orders);
            scope.spawn(move || {
                // Each reader leaves and comes back with what it has, by turns on the same queue
                // and on a new one.
                let mut queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, TIGHT);
                let mut has = None;
                for turn in 0.. {
                    if turn % 2 == 1 {
                        queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, TIGHT);
                    }
                    queue.follow(id, has.map(Version)).expect("one order");
                    let session = Arc::clone(&queue);
                    orders
                        .attach(id, has.map(Version), session)
                        .expect("was placed");
                    let follows = HashMap::from([(id, Follower::new(has))]);
                    let mut client = Client { queue, follows };
                    for _ in 0..50 {
                        let frames = 1 + (turn + reader as usize) % 9;
                        if client.read(frames).expect("I7 holds") == 0 {
                            std::thread::yield_now();
                        }
                    }
                    has = client.follows[&id].has;
                    queue = client.queue;
                    if has == Some(VERSIONS) {
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(orders.version(id), Version(VERSIONS));
    assert_eq!(hub.watched_orders(), 0);
}

#[test]
fn a_reader_that_keeps_up_gets_every_version() {
    let hub = Hub::new();
    let orders = TestOrders::new(Arc::clone(&hub));
    let id = orders.place();
    let queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, QueueLimits::default());
    queue.follow(id, Some(Version(0))).expect("one order");
    orders
        .attach(id, Some(Version(0)), Arc::clone(&queue) as _)
        .expect("was placed");
    for version in 1..=60 {
        if version > 1 {
            orders.advance(id, Status::Preparing);
        }
        if version % 20 != 0 {
            continue;
        }
        for expected in version - 19..=version {
            let frame = queue.take().expect("I7 holds").expect("waits");
            assert_eq!(frame.kind, FrameKind::Update);
            assert_eq!(frame.version, Some(Version(expected)));
        }
    }
    assert!(queue.take().expect("I7 holds").is_none());
}

#[test]
fn a_conflated_snapshot_shows_the_courier_only_under_way() {
    let hub = Hub::new();
    let orders = TestOrders::new(Arc::clone(&hub));
    let id = orders.place();
    let queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, TIGHT);
    queue.follow(id, Some(Version(1))).expect("one order");
    orders
        .attach(id, Some(Version(1)), Arc::clone(&queue) as _)
        .expect("was placed");
    let next = || {
        let frame = queue.take().expect("I7 holds").expect("waits");
        serde_json::from_slice::<serde_json::Value>(&frame.json).expect("is JSON")
    };

    orders.locate_now(id, SOMEWHERE);
    for _ in 0..=TIGHT.updates {
        orders.advance(id, Status::InTransit);
    }
    assert_eq!(next()["type"], "location");
    let snapshot = next();
    assert_eq!(snapshot["version"], 6);
    assert_eq!(snapshot["order"]["courier"]["lat"], 52.5);

    orders.locate_now(id, SOMEWHERE);
    for _ in 0..=TIGHT.updates {
        orders.advance(id, Status::Delivered);
    }
    let snapshot = next();
    assert_eq!(snapshot["version"], 11);
    assert!(snapshot["order"].get("courier").is_none());
    assert!(
        queue.take().expect("I7 holds").is_none(),
        "no position after the delivery"
    );
}

#[test]
fn ten_thousand_listeners_are_served_and_forgotten() {
    let hub = Hub::new();
    let orders = TestOrders::new(Arc::clone(&hub));
    let id = orders.place();
    let queues: Vec<_> = (0..10_000)
        .map(|_| {
            let queue =
                Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, QueueLimits::default());
            queue.follow(id, None).expect("one order");
            orders
                .attach(id, None, Arc::clone(&queue) as _)
                .expect("was placed");
            queue
        })
        .collect();
    let started = std::time::Instant::now();
    orders.advance(id, Status::Confirmed);
    println!("one publish to 10,000 listeners: {:?}", started.elapsed());
    for queue in &queues {
        for kind in [FrameKind::Snapshot, FrameKind::Update] {
            assert_eq!(queue.take().expect("I7 holds").map(|f| f.kind), Some(kind));
        }
    }
    drop(queues);
    assert!(!hub.is_watched(id));
}

#[test]
fn what_is_folded_and_who_listens_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let hub = Hub::new();
        let orders = TestOrders::new(Arc::clone(&hub));
        let id = orders.place();
        let queue = Queue::with_limits(Arc::clone(&hub) as Arc<dyn LiveHub>, TIGHT);
        queue.follow(id, Some(Version(1))).expect("one order");
        orders
            .attach(id, Some(Version(1)), Arc::clone(&queue) as _)
            .expect("was placed");
        // Four wait; the fifth folds them and itself.
        for _ in 0..5 {
            orders.advance(id, Status::Preparing);
        }
        let text = handle.render();
        assert!(text.contains("trackops_live_conflated_total 5\n"), "{text}");
        assert!(text.contains("trackops_live_sessions 1\n"), "{text}");
    });
    assert!(handle.render().contains("trackops_live_sessions 0\n"));
}
