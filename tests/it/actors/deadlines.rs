//! Deadlines that pass while inventory is away, in paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use trackops::actors::saga_route::SagaRoute;
use trackops::embedded::cache::MemoryCache;
use trackops::model::topic::Topic;
use trackops::ports::bus::BusError;
use trackops::ports::clock::{Clock, uuid_v7_at};
use trackops::ports::groups::{GroupProgress, Groups, Progress};
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::rig::{Rig, settings};

const MINUTE: Duration = Duration::from_mins(1);

/// The runtime's clock, which a test holds still.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000).plus(self.0.elapsed())
    }

    fn uuid_v7(&self) -> Uuid {
        uuid_v7_at(self.now())
    }
}

/// A bus with one message unread by inventory, or none.
#[derive(Default)]
struct Bus {
    inventory_is_away: AtomicBool,
}

#[async_trait]
impl Groups for Bus {
    async fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<GroupProgress, BusError> {
        let is_behind = group == "inventory" && self.inventory_is_away.load(Ordering::SeqCst);
        let place = Progress {
            committed: Some(if is_behind { 8 } else { 9 }),
            end: 9,
        };
        Ok(topics
            .iter()
            .map(|t| (Arc::clone(t), vec![place]))
            .collect())
    }

    async fn mark(&self, _: &str, _: &[(Arc<str>, i32, i64)]) -> Result<(), BusError> {
        Ok(())
    }

    fn partition_of(&self, _: &str, _: usize) -> usize {
        0
    }
}

async fn rig(bus: &Arc<Bus>) -> Rig {
    let route = SagaRoute {
        groups: Arc::clone(bus) as _,
        inventory: "inventory",
        replied: "replied",
        orders: "orders",
    };
    let clock = Arc::new(PausedClock(Instant::now()));
    Rig::with(settings(), Arc::new(MemoryCache::new()), clock, Some(route)).await
}

/// Time is paused: so much of it is over as soon as nothing else is to be done.
async fn pass(duration: Duration) {
    // No wait for anything: this is the time that passes.
    tokio::time::sleep(duration).await;
}

/// Everything in the outbox goes out; how often each topic.
fn publish(rig: &Rig) -> BTreeMap<&'static str, usize> {
    let rows = std::mem::take(&mut rig.journal.0.lock().outbox);
    let mut sent = BTreeMap::new();
    for row in rows {
        *sent.entry(row.row.topic.as_str()).or_default() += 1;
    }
    sent
}

async fn place(rig: &Rig, count: usize) -> Vec<OrderId> {
    let mut orders = Vec::new();
    for _ in 0..count {
        orders.push(rig.place().await);
    }
    orders
}

fn statuses(rig: &Rig, orders: &[OrderId]) -> Vec<&'static str> {
    let mut found: Vec<_> = orders
        .iter()
        .map(|order| *rig.journal.statuses(*order).last().expect("placed"))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[tokio::test(start_paused = true)]
async fn inventory_away_for_five_minutes_costs_no_order_and_is_asked_once() {
    let bus = Arc::new(Bus::default());
    let rig = rig(&bus).await;
    bus.inventory_is_away.store(true, Ordering::SeqCst);
    let orders = place(&rig, 40).await;
    assert_eq!(publish(&rig), BTreeMap::from([("ORDER_CREATED", 40)]));
    pass(5 * MINUTE).await;
    assert_eq!(statuses(&rig, &orders), ["PENDING"]);
    assert_eq!(publish(&rig), BTreeMap::new(), "nobody is asked again");

    bus.inventory_is_away.store(false, Ordering::SeqCst);
    for order in &orders {
        let reserved = rig.command(*order, Command::StockReserved).await;
        reserved.expect("in time");
    }
    pass(5 * MINUTE).await;
    assert_eq!(statuses(&rig, &orders), ["CONFIRMED"]);
    assert_eq!(publish(&rig).get("ORDER_CREATED"), None);
}

#[tokio::test(start_paused = true)]
async fn inventory_away_for_longer_than_the_limit_cancels_after_all() {
    let bus = Arc::new(Bus::default());
    let rig = rig(&bus).await;
    bus.inventory_is_away.store(true, Ordering::SeqCst);
    let orders = place(&rig, 3).await;
    publish(&rig);
    pass(29 * MINUTE).await;
    assert_eq!(statuses(&rig, &orders), ["PENDING"]);
    pass(3 * MINUTE).await;
    assert_eq!(statuses(&rig, &orders), ["CANCELLED"]);
}

#[tokio::test(start_paused = true)]
async fn an_inventory_that_has_read_and_not_answered_is_asked_again_and_then_given_up() {
    let rig = rig(&Arc::new(Bus::default())).await;
    let orders = place(&rig, 1).await;
    publish(&rig);
    pass(MINUTE * 3 / 2).await;
    assert_eq!(publish(&rig), BTreeMap::from([("ORDER_CREATED", 1)]));
    pass(MINUTE).await;
    assert_eq!(statuses(&rig, &orders), ["CANCELLED"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_nobody_confirms_is_sent_again() {
    let rig = rig(&Arc::new(Bus::default())).await;
    let [order] = place(&rig, 1).await[..] else {
        unreachable!("one was placed")
    };
    let cancel = Command::Cancel {
        reason: "too late".into(),
    };
    rig.command(order, cancel).await.expect("legal");
    let first = rig.journal.0.lock().outbox.clone();
    publish(&rig);
    pass(MINUTE * 3 / 2).await;
    let again = rig.journal.0.lock().outbox.clone();
    let ids = |rows: &[trackops::model::outbox_row::OutboxEntry]| -> Vec<_> {
        let cancelled = rows.iter().filter(|r| r.row.topic == Topic::OrderCancelled);
        cancelled
            .map(|r| (r.row.id, r.row.payload.clone()))
            .collect()
    };
    assert_eq!(again.len(), 1, "the cancellation alone");
    assert_eq!(ids(&again), ids(&first), "under its first id");

    publish(&rig);
    let confirmed = rig.command(order, Command::StockReleased).await;
    confirmed.expect("awaited");
    pass(10 * MINUTE).await;
    assert_eq!(publish(&rig), BTreeMap::new(), "once confirmed nothing is");
}
