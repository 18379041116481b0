//! What a client's key stands for, and for how long.

use std::sync::Arc;

use parking_lot::Mutex;
use trackops::embedded::cache::MemoryCache;
use trackops::model::order_request::{CommandRequest, LocationKey, command_id};
use trackops::model::orders_error::OrdersError;
use trackops::model::position::Position;
use trackops::ports::cache::Cache;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops::ports::live::{LiveItem, LiveListener};
use trackops::ports::orders::{Orders, OrdersExt};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::rig::{Rig, execute, located, settings};

async fn under_way(rig: &Rig) -> OrderId {
    let order = rig.place().await;
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");
    for step in [Status::Preparing, Status::InTransit] {
        rig.command(order, Command::advance(step))
            .await
            .expect("a legal step");
    }
    order
}

/// Somebody who looks where the courier is.
#[derive(Default)]
struct Map(Mutex<Vec<Position>>);

impl LiveListener for Map {
    fn id(&self) -> u64 {
        1
    }

    fn deliver(&self, item: LiveItem) {
        if let LiveItem::Location { position, .. } = item {
            self.0.lock().push(position);
        }
    }
}

fn at(lat: f64) -> Position {
    Position {
        lat,
        lon: 13.4,
        at: Timestamp(1),
    }
}

#[tokio::test]
async fn a_repeated_position_does_not_move_the_courier_back() {
    let rig = Rig::new(settings()).await;
    let order = under_way(&rig).await;
    let key = |name: &str, body: u8| {
        Some(LocationKey {
            id: command_id(&Caller::anonymous(), order, name),
            body: [body; 32],
        })
    };
    let node = &rig.node;
    assert!(
        !node
            .locate(located(order, at(52.0), key("a", 1)))
            .await
            .expect("new")
    );
    assert!(
        !node
            .locate(located(order, at(53.0), None))
            .await
            .expect("new")
    );
    assert!(
        node.locate(located(order, at(52.0), key("a", 1)))
            .await
            .expect("known")
    );
    let shown = node
        .read(order, &Caller::anonymous())
        .await
        .expect("a read")
        .position;
    assert_eq!(shown, Some(at(53.0)));
    let other = node.locate(located(order, at(54.0), key("a", 2))).await;
    assert!(matches!(other, Err(OrdersError::KeyReused)));

    // A bounded memory: the oldest key goes first.
    for n in 0..16 {
        let name = format!("later {n}");
        node.locate(located(order, at(54.0), key(&name, 1)))
            .await
            .expect("new");
    }
    assert!(
        !node
            .locate(located(order, at(55.0), key("a", 2)))
            .await
            .expect("new")
    );

    // Known is known, whatever the order has become.
    rig.command(order, Command::advance(Status::Delivered))
        .await
        .expect("delivered");
    assert!(
        node.locate(located(order, at(55.0), key("a", 2)))
            .await
            .expect("known")
    );
    let late = node.locate(located(order, at(56.0), key("b", 1))).await;
    assert!(matches!(late, Err(OrdersError::NotInTransit { .. })));
}

#[tokio::test]
async fn an_older_measurement_does_not_move_the_courier_back() {
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new());
    let rig = Rig::over(settings(), Arc::clone(&cache)).await;
    let order = under_way(&rig).await;
    let measured = |lat: f64, millis: i64| Position {
        at: Timestamp(millis),
        ..at(lat)
    };
    let node = &rig.node;
    let map = Arc::new(Map::default());
    let watching = Arc::clone(&map) as _;
    node.subscribe(order, None, watching)
        .await
        .expect("watched");
    let now = SystemClock.now().0;
    let ahead = now + 3_600_000;
    for (lat, millis) in [
        (52.0, 2_000),
        (53.0, 1_999),
        (54.0, 2_000),
        (55.0, 0),
        (56.0, ahead),
    ] {
        let is_repeat = node
            .locate(located(order, measured(lat, millis), None))
            .await;
        assert!(!is_repeat.expect("taken"));
    }
    let shown = node
        .read(order, &Caller::anonymous())
        .await
        .expect("a read")
        .position;
    assert_eq!(shown, Some(measured(54.0, 2_000)));
    let kept = cache.position(order).await.expect("in memory");
    assert_eq!(kept, Some(measured(54.0, 2_000)));
    assert_eq!(
        *map.0.lock(),
        [measured(52.0, 2_000), measured(54.0, 2_000)]
    );
}

#[tokio::test]
async fn a_key_stands_for_what_was_asked_under_it_first() {
    let rig = Rig::new(settings()).await;
    let order = rig.place().await;
    let cancel = |reason: &str| Command::Cancel {
        reason: reason.into(),
    };
    let keyed = |key: &str, command: Command| CommandRequest {
        id: command_id(&Caller::anonymous(), order, key),
        keyed: true,
        ..execute(order, command)
    };
    let pending = Command::advance(Status::Pending);
    // One key a step: with and without a change.
    let firsts = [
        ("same", pending.clone()),
        ("change", cancel("rain")),
        ("no change", cancel("hail")),
        ("no change either", Command::advance(Status::Cancelled)),
    ];
    for (key, command) in &firsts {
        let first = rig.node.execute(keyed(key, command.clone())).await;
        assert!(!first.expect("a success").replayed, "{key}");
    }
    for (key, command) in &firsts {
        let again = rig.node.execute(keyed(key, command.clone())).await;
        assert!(again.expect("the first answer").replayed, "{key}");
    }
    let others = [
        ("same", cancel("rain")),
        ("same", Command::advance(Status::Preparing)),
        ("change", cancel("hail")),
        ("change", Command::advance(Status::Cancelled)),
        ("change", pending),
        ("no change", cancel("rain")),
        ("no change", Command::advance(Status::Cancelled)),
        ("no change either", cancel("hail")),
    ];
    for (key, other) in others {
        let told = format!("{key}: {other:?}");
        let answer = rig.node.execute(keyed(key, other)).await;
        assert!(matches!(answer, Err(OrdersError::KeyReused)), "{told}");
    }
    // The reason that is given where nobody gives one is the same request by another route.
    let default = rig
        .node
        .execute(keyed("no change either", cancel("cancelled")))
        .await;
    assert!(default.expect("the first answer").replayed);
}
