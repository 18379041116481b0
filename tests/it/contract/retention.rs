//! The suite of [`trackops::ports::retention::Retention`], for orders and for the inventory.
//! An adapter runs it by `retention_suite!(module_name, OrdersFixture, StockFixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops::ports::journal::ListFilter;
use trackops::ports::retention::{Cursor, Mode, Retention};
use trackops::ports::stock::{StockError, WriteRefused};
use trackops::retention;
use trackops_domain::event::Change;
use trackops_domain::ids::{CustomerId, OrderId, ShopId};
use trackops_domain::order::Order;
use trackops_domain::saga::{Saga, Stock};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::stock::{StockFixture, new_order, release, reserve, ship, stocked};
use super::support::{OrdersFixture, Owned, changed, new_order_for};

/// An orders' database that forgets.
pub trait ForgetfulOrders: OrdersFixture {
    /// What forgets its rows.
    fn retention(&self) -> Arc<dyn Retention>;
}

/// An inventory's database that forgets.
pub trait ForgetfulStock: StockFixture {
    /// What forgets its rows.
    fn retention(&self) -> Arc<dyn Retention>;
}

/// Runs the suite against `$orders` and `$stock`.
macro_rules! retention_suite {
    ($name:ident, $orders:ty, $stock:ty) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn only_orders_that_are_settled_and_old_go() {
                $crate::contract::retention::only_orders_that_are_settled_and_old_go::<$orders>()
                    .await;
            }

            #[tokio::test]
            async fn old_adjustments_go() {
                $crate::contract::retention::old_adjustments_go::<$stock>().await;
            }

            #[tokio::test]
            async fn only_reservations_that_hold_nothing_and_are_old_go() {
                $crate::contract::retention::only_reservations_that_hold_nothing_and_are_old_go::<
                    $stock,
                >()
                .await;
            }
        }
    };
}
pub(crate) use retention_suite;

const DAYS: u32 = 90;

fn now() -> Timestamp {
    SystemClock.now()
}

/// Places an order `days` ago and takes it through `changes`; its saga ends as `stock` and `deadline` say.
async fn lived<F: OrdersFixture>(
    db: &Owned<F>,
    days: u32,
    changes: &[Change],
    (stock, deadline): (Stock, Option<Timestamp>),
) -> Order {
    let at = retention::cutoff(now(), days);
    let placed = new_order_for(CustomerId(Uuid::new_v4()), Some(shop()), at);
    let mut order = placed.0.clone();
    let journal = db.fixture.journal();
    journal.append(&[db.creation(&placed)]).await.unwrap();
    for change in changes {
        let (mut after, event) = changed(&order, change.clone());
        after.saga = Saga {
            stock,
            deadline,
            asked_again: 0,
        };
        let row = db.step(&order, &(after.clone(), event));
        journal.append(&[row]).await.unwrap();
        order = after;
    }
    order
}

/// The shop of every order here.
fn shop() -> ShopId {
    ShopId::parse("north").unwrap()
}

fn cancelled() -> Change {
    Change::Cancelled {
        reason: "changed my mind".into(),
    }
}

fn delivered() -> [Change; 4] {
    [
        Change::Confirmed,
        Change::Preparing { courier: None },
        Change::InTransit { courier: None },
        Change::Delivered,
    ]
}

async fn totals(store: &dyn Retention, mode: Mode) -> BTreeMap<&'static str, u64> {
    let before = retention::cutoff(now(), DAYS);
    retention::prune(store, before, mode, &CancellationToken::new())
        .await
        .unwrap()
}

pub async fn only_orders_that_are_settled_and_old_go<F: ForgetfulOrders>() {
    let db = Owned::<F>::fresh().await;
    let shipped = (Stock::Shipped, None);
    let mut gone = Vec::new();
    for _ in 0..5 {
        gone.push(lived(&db, 100, &delivered(), shipped).await);
    }
    gone.push(lived(&db, 100, &[cancelled()], (Stock::Released, None)).await);
    let refused = Change::Rejected {
        reason: "no pizza".into(),
    };
    gone.push(lived(&db, 100, &[refused], (Stock::Refused, None)).await);

    let due = Some(now());
    let kept = [
        lived(&db, 80, &delivered(), shipped).await,
        lived(&db, 100, &delivered()[..3], (Stock::Reserved, None)).await,
        lived(&db, 100, &[], shipped).await,
        lived(&db, 100, &[cancelled()], (Stock::Releasing, None)).await,
        lived(&db, 100, &[cancelled()], (Stock::Released, due)).await,
    ];

    let store = db.fixture.retention();
    let expected = BTreeMap::from([("orders", 7), ("order_events", 5 * 5 + 2 + 2), ("audit", 0)]);
    assert_eq!(totals(&*store, Mode::Count).await, expected);
    // In pages of two: a page ends within a status, and rows that stay are passed.
    let (before, mut from) = (retention::cutoff(now(), DAYS), Some(Cursor::default()));
    let mut removed = BTreeMap::new();
    while let Some(cursor) = from {
        let page = store.page(before, cursor, 2, Mode::Remove).await.unwrap();
        for (table, rows) in page.rows {
            *removed.entry(table).or_insert(0) += rows;
        }
        from = page.next;
    }
    assert_eq!(removed, expected);
    assert!(totals(&*store, Mode::Count).await.values().all(|n| *n == 0));

    let journal = db.fixture.journal();
    let ids: Vec<OrderId> = gone.iter().map(|order| order.id).collect();
    assert!(
        journal
            .load(&ids)
            .await
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
    let ids: Vec<OrderId> = kept.iter().map(|order| order.id).collect();
    let loaded = journal.load(&ids).await.unwrap();
    let versions = |order: &Order| (order.id, order.version());
    let loaded: Vec<_> = loaded.iter().flatten().map(versions).collect();
    assert_eq!(loaded, kept.iter().map(versions).collect::<Vec<_>>());
    let filter = ListFilter {
        limit: 100,
        ..ListFilter::default()
    };
    assert_eq!(journal.list(&filter).await.unwrap().len(), kept.len());
    let filter = ListFilter {
        shops: vec![shop()],
        ..filter
    };
    assert_eq!(journal.list(&filter).await.unwrap().len(), kept.len());
}

pub async fn only_reservations_that_hold_nothing_and_are_old_go<F: ForgetfulStock>() {
    let (fixture, stock) = stocked::<F>(&[("A", 100)]).await;
    let (old, young) = (retention::cutoff(now(), 100), retention::cutoff(now(), 80));
    let mut kept = Vec::new();
    for _ in 0..3 {
        for (end, settled) in [
            (release as fn(_) -> _, true),
            (ship, true),
            (release, false),
        ] {
            let order = new_order();
            stock
                .apply(&[reserve(order, &[("A", 1)])], old)
                .await
                .unwrap();
            if settled {
                stock.apply(&[end(order)], old).await.unwrap();
            } else {
                kept.push(order);
            }
        }
        let order = new_order();
        stock
            .apply(&[reserve(order, &[("A", 1)])], old)
            .await
            .unwrap();
        stock.apply(&[release(order)], young).await.unwrap();
        kept.push(order);
    }
    let before = stock.item(&super::stock::sku("A")).await.unwrap();
    let store = fixture.retention();
    let expected = BTreeMap::from([("reservations", 6), ("stock_adjustments", 0)]);
    assert_eq!(totals(&*store, Mode::Count).await, expected);
    assert_eq!(totals(&*store, Mode::Remove).await, expected);
    assert_eq!(totals(&*store, Mode::Count).await["reservations"], 0);
    for order in kept {
        assert!(stock.reservation(order).await.unwrap().is_some());
    }
    assert_eq!(stock.item(&super::stock::sku("A")).await.unwrap(), before);
    assert!(store.take_turn(Duration::from_hours(1)).await.unwrap());
}

pub async fn old_adjustments_go<F: ForgetfulStock>() {
    let (fixture, stock) = stocked::<F>(&[("A", 100)]).await;
    let sku = super::stock::sku("A");
    for key in ["one", "two", "three", "four", "five"] {
        stock.adjust(&sku, 1, "found", Some(key)).await.unwrap();
    }
    let store = fixture.retention();
    let prune = async |before| {
        let mut from = Some(Cursor::default());
        let mut removed = 0;
        while let Some(cursor) = from {
            let page = store.page(before, cursor, 2, Mode::Remove).await.unwrap();
            removed += page.rows.iter().map(|(_, rows)| rows).sum::<u64>();
            from = page.next;
        }
        removed
    };
    let count = async |before| {
        let nobody = CancellationToken::new();
        let counted = retention::prune(&*store, before, Mode::Count, &nobody).await;
        counted.unwrap().get("stock_adjustments").copied()
    };
    let left = async || stock.adjustments(&sku, None, 10).await.unwrap().len();
    let (hour_ago, in_an_hour) = (
        Timestamp(now().0 - 3_600_000),
        now().plus(Duration::from_hours(1)),
    );
    assert_eq!((prune(hour_ago).await, left().await), (0, 5));
    assert_eq!(count(in_an_hour).await, Some(5));
    assert_eq!((prune(in_an_hour).await, left().await), (5, 0));
    // A key whose adjustment is gone adds nothing a second time.
    let again = stock.adjust(&sku, 1, "found", Some("one")).await;
    assert!(
        matches!(again, Err(StockError::Refused(WriteRefused::KeyReused))),
        "{again:?}"
    );
    let level = stock.item(&sku).await.unwrap().unwrap().level;
    assert_eq!(level.on_hand, 105);
}
