//! The saga of order and inventory under bad delivery: the consumers' handlers over the pure domain,
//! in memory, while messages are repeated, held back and reordered at will.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use proptest::prelude::*;
use trackops::model::topic::Topic;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::saga::world::{World, sku};

/// What happens next; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Happening {
    /// Any message that was ever sent arrives, for the first time or again.
    Arrives(usize),
    /// Somebody reports a step, in time or not.
    Reported(usize, Status),
    /// The deadline for stock passes.
    TimedOut(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let step = prop::sample::select(vec![
        Status::Preparing,
        Status::InTransit,
        Status::Delivered,
        Status::Cancelled,
    ]);
    prop_oneof![
        8 => any::<usize>().prop_map(Happening::Arrives),
        3 => (0..3_usize, step).prop_map(|(order, step)| Happening::Reported(order, step)),
        1 => (0..3_usize).prop_map(Happening::TimedOut),
    ]
}

async fn play(happenings: Vec<Happening>) -> World {
    let world = World::stocked();
    // Stock is enough for two of three.
    let orders = [1, 2, 3].map(|n| OrderId(Uuid::from_u128(n)));
    for order in orders {
        world.place(order);
    }
    for happening in happenings {
        match happening {
            Happening::Arrives(number) => {
                let mut sent = world.sent();
                let index = number % sent.len();
                world.deliver(sent.swap_remove(index)).await;
            }
            Happening::Reported(order, step) => world.report(orders[order], step),
            Happening::TimedOut(order) => world.time_out(orders[order]),
        }
    }
    world.settle().await;
    world
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_books_balance_however_messages_arrive(
        happenings in prop::collection::vec(happening(), 0..60)
    ) {
        block_on(play(happenings)).check();
    }
}

/// The one order of events that hurts most: called off before inventory has heard of it.
#[test]
fn a_cancellation_that_overtakes_the_creation_holds_nothing() {
    block_on(async {
        let world = World::stocked();
        let order = OrderId(Uuid::from_u128(1));
        world.place(order);
        world.time_out(order);
        world.time_out(order);
        let sent = world.sent();
        let of = |topic: Topic| {
            let found = sent.iter().find(|m| &*m.topic == topic.as_str());
            found.unwrap().clone()
        };
        world.deliver(of(Topic::OrderCancelled)).await;
        world.deliver(of(Topic::OrderCreated)).await;
        assert_eq!(world.state().1[&sku()].reserved, 0);
        world.settle().await;
        world.check();
        let (orders, _, _) = world.state();
        assert_eq!(orders[&order].status(), Status::Cancelled);
    });
}
