//! Orders whose request or answer is still somewhere on the way.

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::ports::groups::Progress;

/// Two partitions; keys by their last digit.
#[derive(Default)]
struct Double(Mutex<HashMap<(&'static str, Topic), [Progress; 2]>>);

#[async_trait]
impl Groups for Double {
    async fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<GroupProgress, BusError> {
        let known = self.0.lock();
        let places = |topic: &Arc<str>| {
            let mut of = known
                .iter()
                .filter(|((g, t), _)| *g == group && t.as_str() == &**topic);
            of.next().map_or_else(
                || vec![Progress::default(); 2],
                |(_, places)| places.to_vec(),
            )
        };
        Ok(topics.iter().map(|t| (Arc::clone(t), places(t))).collect())
    }

    async fn mark(&self, _: &str, _: &[(Arc<str>, i32, i64)]) -> Result<(), BusError> {
        Ok(())
    }

    fn partition_of(&self, key: &str, partitions: usize) -> usize {
        usize::from(key.ends_with('1')) % partitions
    }
}

impl Double {
    fn set(&self, group: &'static str, topic: Topic, partition: usize, at: Option<i64>, end: i64) {
        let places = &mut *self.0.lock();
        let places = places.entry((group, topic)).or_default();
        places[partition] = Progress { committed: at, end };
    }
}

struct Rig {
    double: Arc<Double>,
    route: SagaRoute,
    waits: Waits,
}

impl Rig {
    fn new() -> Self {
        let double = Arc::new(Double::default());
        let route = SagaRoute {
            groups: Arc::clone(&double) as _,
            inventory: "inventory",
            replied: "replied",
            orders: "orders",
        };
        let waits = Waits::default();
        Self {
            double,
            route,
            waits,
        }
    }

    /// One round in which the orders with these numbers are due.
    async fn round(&mut self, numbers: &[u128]) -> Vec<(u128, HeldUp)> {
        let seen = self.route.look().await;
        let due = numbers.iter().map(|number| due(*number)).collect();
        let woken = self.waits.judge(&self.route, due, seen.as_ref());
        woken
            .into_iter()
            .map(|(due, held_up)| (due.order.0.as_u128(), held_up))
            .collect()
    }
}

fn due(number: u128) -> Due {
    Due {
        order: OrderId(uuid::Uuid::from_u128(number)),
        deadline: Timestamp(1),
        status: Status::Pending,
        request_unsent: false,
    }
}

#[tokio::test(start_paused = true)]
async fn where_everybody_is_up_to_date_a_deadline_fires_at_once() {
    let mut rig = Rig::new();
    rig.double
        .set("inventory", Topic::OrderCreated, 0, Some(7), 7);
    assert_eq!(rig.round(&[2]).await, [(2, HeldUp::Not)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_behind_holds_up_its_own_partition_alone() {
    let mut rig = Rig::new();
    rig.double
        .set("inventory", Topic::OrderCreated, 0, Some(7), 8);
    assert_eq!(rig.round(&[1, 2]).await, [(1, HeldUp::Not)]);
    tokio::time::advance(PATIENCE).await;
    assert_eq!(rig.round(&[2]).await, [(2, HeldUp::Behind)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_later_holds_up_nobody() {
    let mut rig = Rig::new();
    rig.double
        .set("inventory", Topic::OrderCreated, 0, Some(7), 8);
    assert_eq!(rig.round(&[2]).await, []);
    tokio::time::advance(Duration::from_secs(1)).await;
    // Always a little behind the end, as under load, but past the end that the first check saw.
    rig.double
        .set("inventory", Topic::OrderCreated, 0, Some(8), 9);
    assert_eq!(rig.round(&[2]).await, [(2, HeldUp::Not)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_on_its_way_is_waited_for() {
    let mut rig = Rig::new();
    rig.double
        .set("inventory", Topic::OrderCreated, 0, Some(8), 8);
    // The replies to the last request are in inventory's outbox.
    rig.double
        .set("replied", Topic::OrderCreated, 0, Some(7), 8);
    assert_eq!(rig.round(&[2]).await, []);
    // The replies have left the outbox, and are not read yet.
    rig.double
        .set("replied", Topic::OrderCreated, 0, Some(8), 8);
    rig.double
        .set("orders", Topic::InventoryReservationFailed, 0, None, 1);
    assert_eq!(rig.round(&[2]).await, []);
    rig.double
        .set("orders", Topic::InventoryReservationFailed, 0, Some(1), 1);
    assert_eq!(rig.round(&[2]).await, [(2, HeldUp::Not)]);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_does_not_answer_is_behind() {
    let mut rig = Rig::new();
    let judge = |rig: &mut Rig| rig.waits.judge(&rig.route, vec![due(2)], None);
    assert_eq!(judge(&mut rig), []);
    tokio::time::advance(PATIENCE).await;
    assert_eq!(judge(&mut rig), [(due(2), HeldUp::Behind)]);
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_its_own_way() {
    let mut rig = Rig::new();
    rig.double.set("inventory", Topic::OrderCreated, 0, None, 5);
    let released = Due {
        status: Status::Cancelled,
        ..due(2)
    };
    let seen = rig.route.look().await;
    let woken = rig.waits.judge(&rig.route, vec![released], seen.as_ref());
    assert_eq!(woken, [(released, HeldUp::Not)]);
}
