//! Room in memory: made as fast as it is needed, and what is refused for want of it says so.

use std::sync::Arc;

use futures_util::future::join_all;
use trackops::actors::Settings;
use trackops::model::orders_error::{Full, OrdersError};
use trackops::ports::orders::OrdersExt;
use trackops_cluster::ShardId;
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;

use super::rig::{Rig, content, request, settings};

impl Rig {
    fn in_memory(&self) -> usize {
        (0..8).map(|n| self.node.in_memory(ShardId(n))).sum()
    }

    async fn is_live(&self, order: OrderId) -> bool {
        self.node.inspect(order).await.expect("known").state == "live"
    }

    /// What each of `count` placements at once was refused for.
    async fn refusals(&self, count: usize) -> Vec<Option<Full>> {
        let placed = join_all((0..count).map(|_| self.node.place(request(None)))).await;
        let refused = placed.into_iter().map(|result| match result {
            Ok(_) => None,
            Err(OrdersError::Overloaded { full, .. }) => Some(full),
            Err(other) => panic!("{other}"),
        });
        refused.collect()
    }
}

#[tokio::test]
async fn placing_on_and_on_finds_room_for_every_order() {
    let rig = Rig::new(Settings {
        actors_max: 100,
        ..settings()
    })
    .await;
    for _ in 0..50 {
        let refusals = rig.refusals(40).await;
        assert!(refusals.iter().all(Option::is_none), "{refusals:?}");
        assert!(rig.in_memory() <= 125, "{} in memory", rig.in_memory());
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_go_first_and_none_that_is_at_work() {
    let rig = Rig::new(Settings {
        actors_max: 8,
        ..settings()
    })
    .await;
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(rig.place().await);
        tokio::time::advance(std::time::Duration::from_millis(200)).await;
    }
    rig.command(orders[0], Command::StockReserved)
        .await
        .expect("confirmed");
    for _ in 0..3 {
        rig.place().await;
    }
    let mut live = Vec::new();
    for order in &orders {
        live.push(rig.is_live(*order).await);
    }
    assert_eq!(
        live,
        [true, false, false, false, true, true, true, true],
        "the first had work, so the next three went"
    );
    let done = rig.command(orders[1], Command::StockReserved).await;
    assert_eq!(done.expect("loaded again").order.version().0, 2);
}

#[tokio::test]
async fn orders_in_memory_are_bounded_by_their_weight() {
    let rig = Rig::new(Settings {
        actors_bytes_max: 20_000,
        ..settings()
    })
    .await;
    for _ in 0..200 {
        rig.place().await;
    }
    // An order of the rig weighs 700 bytes.
    assert!((10..40).contains(&rig.in_memory()), "{}", rig.in_memory());
}

#[tokio::test]
async fn every_want_of_room_has_its_own_name() {
    let rig = Rig::new(Settings {
        actors_max: 2,
        ..settings()
    })
    .await;
    let refusals = rig.refusals(4).await;
    assert_eq!(
        refusals,
        [None, None, Some(Full::Actors), Some(Full::Actors)],
        "both are at work"
    );
    let rig = Rig::new(Settings {
        node_waiting_max: 3,
        ..settings()
    })
    .await;
    let refusals = rig.refusals(4).await;
    assert_eq!(refusals, [None, None, None, Some(Full::Replica)]);
    let rig = Rig::new(Settings {
        node_waiting_bytes_max: 1_500,
        ..settings()
    })
    .await;
    let refusals = rig.refusals(4).await;
    let bytes = Some(Full::Bytes);
    assert_eq!(refusals, [None, None, bytes, bytes], "700 bytes each");
}

#[tokio::test]
async fn a_statement_is_bounded_by_its_weight() {
    let rig = Rig::new(Settings {
        commit_queues: 1,
        ..settings()
    })
    .await;
    let mut large = content();
    let items = vec![large.items[0].clone(); 100];
    large.items = items.into();
    let instructions = "\u{1}".repeat(1_000);
    large.instructions = Some(instructions.into());
    let large = Arc::new(large);
    let held = rig.journal.hold_appends();
    let placing = join_all((0..512).map(|_| {
        let content = Arc::clone(&large);
        rig.node
            .place(trackops::model::order_request::PlaceRequest {
                content,
                ..request(None)
            })
    }));
    let placing = async {
        let placed = placing.await;
        assert!(placed.iter().all(Result::is_ok));
    };
    let release = async {
        while rig.journal.held_appends() == 0 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    tokio::join!(placing, release);
    let batches = rig.journal.0.lock().batches.clone();
    assert_eq!(batches.iter().sum::<usize>(), 512);
    // Such an order weighs some 25 KB as it is stored and published.
    assert!(batches.iter().all(|rows| *rows < 200), "{batches:?}");
    assert!(batches.len() < 12, "{batches:?}");
}
