//! The suite of [`trackops::ports::stock::StockStore`] with the replies that it puts into its outbox.

use std::sync::Arc;

use async_trait::async_trait;
use trackops::codec::messages::InventoryReplyV1;
use trackops::codec::topics::Topic;
use trackops::ports::outbox::{LANES, Outbox, OutboxEntry};
use trackops::ports::stock::{StockError, StockOutcome, StockRequest, StockStore};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Level, Request, Reservation};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use StockOutcome::{Applied, Ignored, Repeated};

/// A fresh, migrated inventory's database.
#[async_trait]
pub trait StockFixture: Send + Sync + Sized + 'static {
    /// Makes one.
    async fn fresh() -> Self;
    /// Its stock.
    fn stock(&self) -> Arc<dyn StockStore>;
    /// Its outbox.
    fn outbox(&self) -> Arc<dyn Outbox>;
}

/// Runs the suite against `$fixture`.
macro_rules! stock_suite {
    ($name:ident, $fixture:ty) => {
        stock_suite!(@tests $name $fixture:
            a_reservation_is_all_or_nothing,
            repeats_get_the_first_answer_again,
            a_cancellation_before_the_creation_bars_it,
            one_batch_may_tell_an_orders_whole_life,
            nothing_is_sold_twice_by_overlapping_batches,
            one_order_in_two_batches_counts_once,
            levels_are_set_and_listed,
        );
    };
    (@tests $name:ident $fixture:ty: $($test:ident,)+) => {
        mod $name {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::contract::stock::$test::<$fixture>().await;
            })+
        }
    };
}
pub(crate) use stock_suite;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LATER: Timestamp = Timestamp(1_700_000_005_000);

fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

fn new_id() -> OrderId {
    OrderId(Uuid::now_v7())
}

fn request(order: OrderId, request: Request) -> StockRequest {
    StockRequest {
        order,
        request,
        traceparent: Some("00-1-2-01".into()),
    }
}

fn reserve(order: OrderId, items: &[(&str, u64)]) -> StockRequest {
    let items = items.iter().map(|(name, n)| (sku(name), *n)).collect();
    request(order, Request::Reserve(items))
}

fn release(order: OrderId) -> StockRequest {
    request(order, Request::Release)
}

fn ship(order: OrderId) -> StockRequest {
    request(order, Request::Ship)
}

async fn stocked<F: StockFixture>(levels: &[(&str, u64)]) -> F {
    let db = F::fresh().await;
    for (name, on_hand) in levels {
        let set = db.stock().set_on_hand(&sku(name), *on_hand, None).await;
        assert_eq!(set.unwrap().0.on_hand, *on_hand);
    }
    db
}

async fn level<F: StockFixture>(db: &F, name: &str) -> (u64, u64) {
    let level = db.stock().item(&sku(name)).await.unwrap().unwrap();
    (level.on_hand, level.reserved)
}

async fn replies<F: StockFixture>(db: &F) -> Vec<OutboxEntry> {
    let mut all = Vec::new();
    for lane in 0..LANES {
        all.extend(db.outbox().fetch(lane, 10_000).await.unwrap());
    }
    all.sort_by_key(|entry| entry.seq);
    all
}

async fn replies_to<F: StockFixture>(db: &F, order: OrderId) -> Vec<(Topic, OutboxEntry)> {
    let all = replies(db).await.into_iter();
    all.filter(|entry| entry.order == order)
        .map(|entry| (entry.row.topic, entry))
        .collect()
}

pub async fn a_reservation_is_all_or_nothing<F: StockFixture>() {
    let db: F = stocked(&[("A", 5), ("B", 1)]).await;
    let (held, short) = (new_id(), new_id());
    let batch = [
        reserve(held, &[("A", 2), ("B", 1)]),
        reserve(short, &[("A", 1), ("B", 1), ("PIZZA-X", 1)]),
    ];
    let outcomes = db.stock().apply(&batch, NOW).await.unwrap();
    assert_eq!(
        outcomes,
        [Applied(Reservation::Held), Applied(Reservation::Failed)]
    );
    assert_eq!(level(&db, "A").await, (5, 2));
    assert_eq!(level(&db, "B").await, (1, 1));

    let reserved = replies_to(&db, held).await;
    assert_eq!(reserved.len(), 1);
    assert_eq!(reserved[0].0, Topic::InventoryReserved);
    assert_eq!((reserved[0].1.row.version, reserved[0].1.row.at), (1, NOW));
    assert_eq!(reserved[0].1.row.traceparent.as_deref(), Some("00-1-2-01"));
    let failed = replies_to(&db, short).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, Topic::InventoryReservationFailed);
    let body: InventoryReplyV1 = serde_json::from_slice(&failed[0].1.row.payload).unwrap();
    assert_eq!(body.failed_items, ["B", "PIZZA-X"]);
    assert_eq!(body.reason.as_deref(), Some("not in stock: B, PIZZA-X"));

    let view = db.stock().reservation(held).await.unwrap().unwrap();
    assert_eq!(view.state, Reservation::Held);
    assert_eq!(view.items, [(sku("A"), 2), (sku("B"), 1)]);
    assert_eq!(view.updated_at, NOW);
    assert_eq!(db.stock().reservation(new_id()).await.unwrap(), None);
}

pub async fn repeats_get_the_first_answer_again<F: StockFixture>() {
    let db: F = stocked(&[("A", 2)]).await;
    let (held, short) = (new_id(), new_id());
    let first = [reserve(held, &[("A", 2)]), reserve(short, &[("A", 1)])];
    db.stock().apply(&first, NOW).await.unwrap();
    db.stock().apply(&[release(held)], NOW).await.unwrap();
    // By now it would fit; the answer that was given stands.
    let again = [first[0].clone(), first[1].clone(), release(held)];
    let outcomes = db.stock().apply(&again, LATER).await.unwrap();
    assert_eq!(outcomes, [Repeated; 3]);
    assert_eq!(level(&db, "A").await, (2, 0));
    for order in [held, short] {
        let sent = replies_to(&db, order).await;
        let (first, again) = sent.split_at(sent.len() / 2);
        assert!(!first.is_empty());
        for ((topic, entry), (topic_again, entry_again)) in first.iter().zip(again) {
            assert_eq!(topic, topic_again);
            assert_eq!(entry.row.id, entry_again.row.id);
            assert_eq!(entry.row.payload, entry_again.row.payload);
        }
    }
    let ids: std::collections::HashSet<_> = replies(&db)
        .await
        .iter()
        .map(|entry| entry.row.id)
        .collect();
    assert_eq!(ids.len(), 3);
}

pub async fn a_cancellation_before_the_creation_bars_it<F: StockFixture>() {
    let db: F = stocked(&[("A", 2)]).await;
    let order = new_id();
    let barred = db.stock().apply(&[release(order)], NOW).await.unwrap();
    assert_eq!(barred, [Applied(Reservation::Barred)]);
    let late = [reserve(order, &[("A", 1)]), release(order), ship(order)];
    let outcomes = db.stock().apply(&late, LATER).await.unwrap();
    assert_eq!(outcomes, [Ignored, Repeated, Ignored]);
    assert_eq!(level(&db, "A").await, (2, 0));
    let sent = replies_to(&db, order).await;
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|(t, e)| *t == Topic::InventoryReleased && e.row.version == 2)
    );
    assert_eq!(sent[0].1.row.id, sent[1].1.row.id);
}

pub async fn one_batch_may_tell_an_orders_whole_life<F: StockFixture>() {
    let db: F = stocked(&[("A", 3)]).await;
    let (shipped, released, refused) = (new_id(), new_id(), new_id());
    let batch = [
        reserve(shipped, &[("A", 2)]),
        reserve(refused, &[("A", 2)]),
        reserve(released, &[("A", 1)]),
        release(released),
        ship(shipped),
        ship(shipped),
        release(refused),
        release(shipped),
    ];
    let outcomes = db.stock().apply(&batch, NOW).await.unwrap();
    assert_eq!(
        outcomes,
        [
            Applied(Reservation::Held),
            Applied(Reservation::Failed),
            Applied(Reservation::Held),
            Applied(Reservation::Released),
            Applied(Reservation::Shipped),
            Ignored,
            Applied(Reservation::Released),
            Ignored,
        ]
    );
    assert_eq!(level(&db, "A").await, (1, 0));
    // The same in pieces: what is held is known from the database, not from the request.
    let order = new_id();
    db.stock()
        .apply(&[reserve(order, &[("A", 1)])], NOW)
        .await
        .unwrap();
    db.stock().apply(&[ship(order)], LATER).await.unwrap();
    assert_eq!(level(&db, "A").await, (0, 0));
}

pub async fn nothing_is_sold_twice_by_overlapping_batches<F: StockFixture>() {
    let db: F = stocked(&[("A", 60), ("B", 60), ("C", 60)]).await;
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let stock = db.stock();
            tokio::spawn(async move {
                let mut held = 0;
                for round in 0..5 {
                    // Each task walks the SKUs in another order: those of a request, and of a batch.
                    let mut names = ["A", "B", "C"];
                    names.rotate_left((task + round) % 3);
                    let orders: Vec<OrderId> = (0..4).map(|_| new_id()).collect();
                    let batch: Vec<_> = orders
                        .iter()
                        .map(|id| reserve(*id, &[(names[0], 1), (names[2], 1), (names[1], 1)]))
                        .collect();
                    let outcomes = stock.apply(&batch, NOW).await.unwrap();
                    held += outcomes
                        .iter()
                        .filter(|outcome| **outcome == Applied(Reservation::Held))
                        .count();
                    // Some are given back at once.
                    let back = stock.apply(&[release(orders[0])], NOW).await.unwrap();
                    held -= usize::from(outcomes[0] == Applied(Reservation::Held));
                    assert_eq!(back, [Applied(Reservation::Released)]);
                }
                held as u64
            })
        })
        .collect();
    let mut held = 0;
    for task in tasks {
        held += task.await.unwrap();
    }
    assert!(held <= 60 && held > 50, "{held}");
    for name in ["A", "B", "C"] {
        assert_eq!(level(&db, name).await, (60, held), "{name}");
    }
}

pub async fn one_order_in_two_batches_counts_once<F: StockFixture>() {
    let db: F = stocked(&[("A", 1000)]).await;
    for _ in 0..10 {
        let orders: Vec<OrderId> = (0..5).map(|_| new_id()).collect();
        let batch: Vec<_> = orders.iter().map(|id| reserve(*id, &[("A", 1)])).collect();
        let barred: Vec<_> = orders.iter().map(|id| release(*id)).collect();
        let stock = db.stock();
        let (a, b, c) = tokio::join!(
            stock.apply(&batch, NOW),
            stock.apply(&batch, NOW),
            stock.apply(&barred, NOW)
        );
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        for n in 0..orders.len() {
            let first = [a[n], b[n]]
                .iter()
                .filter(|o| **o == Applied(Reservation::Held))
                .count();
            assert!(first <= 1, "{a:?} {b:?} {c:?}");
        }
    }
    assert_eq!(level(&db, "A").await, (1000, 0));
}

pub async fn levels_are_set_and_listed<F: StockFixture>() {
    let db: F = stocked(&[("B", 3), ("A", 7), ("C", 0)]).await;
    let stock = db.stock();
    stock
        .apply(&[reserve(new_id(), &[("A", 4)])], NOW)
        .await
        .unwrap();
    let below = stock.set_on_hand(&sku("A"), 3, None).await;
    assert!(
        matches!(below, Err(StockError::BelowReserved { reserved: 4 })),
        "{below:?}"
    );
    let first = stock.set_on_hand(&sku("A"), 9, Some("key")).await.unwrap();
    let expected = Level {
        on_hand: 9,
        reserved: 4,
    };
    assert_eq!(first, (expected, false));
    stock.set_on_hand(&sku("A"), 10, None).await.unwrap();
    let again = stock.set_on_hand(&sku("A"), 9, Some("key")).await.unwrap();
    assert!(again.1, "the key is known");
    assert_eq!(level(&db, "A").await, (10, 4), "nothing changed");

    assert_eq!(stock.item(&sku("X")).await.unwrap(), None);
    let page = stock.items(None, 2).await.unwrap();
    let names: Vec<_> = page.iter().map(|(sku, _)| sku.as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    let page = stock.items(Some(&page[1].0), 2).await.unwrap();
    assert_eq!(page, [(sku("C"), Level::default())]);
    stock.ping().await.unwrap();
}
