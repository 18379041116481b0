//! The suite of [`trackops::ports::stock::StockStore`], with the replies in the inventory's outbox.
//! An adapter runs it by `stock_suite!(module_name, Fixture);`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use trackops::codec::message_id::{Publisher, message_id};
use trackops::codec::messages::InventoryReplyV1;
use trackops::model::outbox_row::OutboxEntry;
use trackops::model::topic::Topic;
use trackops::ports::outbox::Outbox;
use trackops::ports::stock::{Condition, Item, StockError, StockOutcome, StockRequest, StockStore};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Request, Reservation};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::outbox::{all_rows, remove};

/// A fresh, migrated inventory's database. Dropping it may remove it.
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
        mod $name {
            use super::*;
            stock_suite!(@tests $fixture:
                a_reservation_is_all_or_nothing,
                a_sku_that_stands_twice_is_added_up,
                a_cancellation_before_the_creation_bars_it,
                a_repeat_is_answered_as_the_first_time,
                what_is_released_or_shipped_is_so_once,
                a_refused_order_is_released_too,
                a_batch_is_applied_in_order,
                on_hand_is_never_below_reserved,
                a_known_key_changes_nothing,
                a_condition_is_kept,
                every_change_raises_the_version,
                adjustments_add_up_and_are_listed,
                a_known_key_adjusts_nothing,
                the_replies_that_wait_are_known,
                items_are_listed_in_pages,
                concurrent_appliers_never_oversell,
                the_stock_adds_up_whatever_comes,
            );
        }
    };
    (@tests $fixture:ty: $($test:ident,)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            $crate::contract::stock::$test::<$fixture>().await;
        })+
    };
}
pub(crate) use stock_suite;

pub use super::stock_items::{
    a_condition_is_kept, a_known_key_adjusts_nothing, a_known_key_changes_nothing,
    adjustments_add_up_and_are_listed, every_change_raises_the_version, items_are_listed_in_pages,
    on_hand_is_never_below_reserved,
};
pub use super::stock_sums::{concurrent_appliers_never_oversell, the_stock_adds_up_whatever_comes};

use StockOutcome::{Applied, Ignored, Repeated};

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LATER: Timestamp = Timestamp(1_700_000_060_000);
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(super) fn sku(name: &str) -> Sku {
    Sku::parse(name).unwrap()
}

pub(super) fn new_order() -> OrderId {
    OrderId(Uuid::now_v7())
}

fn request(order: OrderId, request: Request) -> StockRequest {
    StockRequest {
        order,
        request,
        traceparent: Some(TRACEPARENT.into()),
    }
}

pub(super) fn reserve(order: OrderId, items: &[(&str, u64)]) -> StockRequest {
    let items = items.iter().map(|(name, quantity)| (sku(name), *quantity));
    request(order, Request::Reserve(items.collect()))
}

pub(super) fn release(order: OrderId) -> StockRequest {
    request(order, Request::Release)
}

pub(super) fn ship(order: OrderId) -> StockRequest {
    request(order, Request::Ship)
}

pub(super) async fn stocked<F: StockFixture>(items: &[(&str, u64)]) -> (F, Arc<dyn StockStore>) {
    let fixture = F::fresh().await;
    let stock = fixture.stock();
    for (name, on_hand) in items {
        let set = set(&*stock, name, *on_hand, None).await.unwrap();
        assert!(!set.1);
    }
    (fixture, stock)
}

pub(super) async fn apply(
    stock: &dyn StockStore,
    request: StockRequest,
    now: Timestamp,
) -> StockOutcome {
    let outcomes = stock.apply(&[request], now).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes[0].clone()
}

/// Sets an item whatever its version.
pub(super) async fn set(
    stock: &dyn StockStore,
    name: &str,
    on_hand: u64,
    key: Option<&str>,
) -> Result<(Item, bool), StockError> {
    let any = Condition::default();
    stock.set_on_hand(&sku(name), on_hand, &any, key).await
}

/// (on hand, reserved)
pub(super) async fn level(stock: &dyn StockStore, name: &str) -> (u64, u64) {
    let level = stock.item(&sku(name)).await.unwrap().unwrap().level;
    (level.on_hand, level.reserved)
}

/// Takes everything out of the outbox, as a relay would.
async fn take(outbox: &dyn Outbox) -> Vec<OutboxEntry> {
    let mut rows = all_rows(outbox).await;
    rows.sort_by_key(|row| row.row_id.seq);
    let ids: Vec<_> = rows.iter().map(|row| row.row_id).collect();
    remove(outbox, &ids).await;
    rows
}

fn reply(entry: &OutboxEntry) -> InventoryReplyV1 {
    serde_json::from_slice(&entry.row.payload).unwrap()
}

/// The one reply in the outbox, checked in all that is the same for every reply.
async fn take_reply(outbox: &dyn Outbox, order: OrderId, topic: Topic) -> OutboxEntry {
    let mut rows = take(outbox).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let entry = rows.remove(0);
    let version = if topic == Topic::InventoryReleased {
        2
    } else {
        1
    };
    assert_eq!((entry.order, entry.row.topic), (order, topic));
    assert_eq!((entry.row.version, entry.row.ordinal), (version, 0));
    assert_eq!(entry.row.traceparent.as_deref(), Some(TRACEPARENT));
    let body = reply(&entry);
    assert_eq!((body.order_id, body.at), (order.0, entry.row.at));
    let id = message_id(Publisher::Inventory, order, version, 0, entry.row.at);
    assert_eq!(entry.row.id, id);
    entry
}

pub async fn a_reservation_is_all_or_nothing<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 5), ("B", 1)]).await;
    let outbox = fixture.outbox();
    assert_eq!(outbox.name(), "inventory");
    let greedy = new_order();
    let wanted = reserve(greedy, &[("A", 2), ("B", 2), ("GHOST", 1)]);
    let outcome = apply(&*stock, wanted, NOW).await;
    assert_eq!(outcome, Applied(Reservation::Failed));
    let failed = take_reply(&*outbox, greedy, Topic::InventoryReservationFailed).await;
    assert_eq!(reply(&failed).failed_items, ["B", "GHOST"]);
    assert_eq!(
        reply(&failed).reason.as_deref(),
        Some("not in stock: B, GHOST")
    );
    assert_eq!(level(&*stock, "A").await, (5, 0));
    assert_eq!(level(&*stock, "B").await, (1, 0));
    assert_eq!(stock.item(&sku("GHOST")).await.unwrap(), None);

    let modest = new_order();
    let wanted = reserve(modest, &[("A", 5), ("B", 1)]);
    assert_eq!(
        apply(&*stock, wanted, NOW).await,
        Applied(Reservation::Held)
    );
    let reserved = take_reply(&*outbox, modest, Topic::InventoryReserved).await;
    assert_eq!(reserved.row.at, NOW);
    assert_eq!(
        (reply(&reserved).reason, reply(&reserved).failed_items.len()),
        (None, 0)
    );
    assert_eq!(level(&*stock, "A").await, (5, 5));
    let view = stock.reservation(modest).await.unwrap().unwrap();
    assert_eq!((view.order, view.state), (modest, Reservation::Held));
    assert_eq!(view.items, [(sku("A"), 5), (sku("B"), 1)]);
    assert_eq!(view.updated_at, NOW);
    let view = stock.reservation(greedy).await.unwrap().unwrap();
    assert_eq!(view.state, Reservation::Failed);
    assert_eq!(view.items.len(), 3, "what was asked for");
    assert_eq!(stock.reservation(new_order()).await.unwrap(), None);
    stock.ping().await.unwrap();
}

pub async fn a_sku_that_stands_twice_is_added_up<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    let outcome = apply(&*stock, reserve(new_order(), &[("A", 3), ("A", 3)]), NOW).await;
    assert_eq!(outcome, Applied(Reservation::Failed));
    assert_eq!(level(&*stock, "A").await, (5, 0));
    let order = new_order();
    let outcome = apply(&*stock, reserve(order, &[("A", 3), ("A", 2)]), NOW).await;
    assert_eq!(outcome, Applied(Reservation::Held));
    assert_eq!(level(&*stock, "A").await, (5, 5));
    apply(&*stock, ship(order), NOW).await;
    assert_eq!(level(&*stock, "A").await, (0, 0));
}

pub async fn a_cancellation_before_the_creation_bars_it<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    let (outbox, order) = (fixture.outbox(), new_order());
    let outcome = apply(&*stock, release(order), NOW).await;
    assert_eq!(outcome, Applied(Reservation::Barred));
    let first = take_reply(&*outbox, order, Topic::InventoryReleased).await;
    let outcome = apply(&*stock, reserve(order, &[("A", 1)]), LATER).await;
    assert_eq!(outcome, Ignored, "the late creation");
    assert!(take(&*outbox).await.is_empty());
    assert_eq!(level(&*stock, "A").await, (5, 0));
    let view = stock.reservation(order).await.unwrap().unwrap();
    assert_eq!((view.state, view.items), (Reservation::Barred, vec![]));

    assert_eq!(apply(&*stock, release(order), LATER).await, Repeated);
    let again = take_reply(&*outbox, order, Topic::InventoryReleased).await;
    assert_eq!(again.row.id, first.row.id);
    assert_eq!(apply(&*stock, ship(order), LATER).await, Ignored);
}

pub async fn a_repeat_is_answered_as_the_first_time<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    let outbox = fixture.outbox();
    for (quantity, topic) in [
        (2, Topic::InventoryReserved),
        (9, Topic::InventoryReservationFailed),
    ] {
        let order = new_order();
        let wanted = reserve(order, &[("A", quantity)]);
        apply(&*stock, wanted.clone(), NOW).await;
        let first = take_reply(&*outbox, order, topic).await;
        let before = level(&*stock, "A").await;
        assert_eq!(apply(&*stock, wanted.clone(), LATER).await, Repeated);
        let again = take_reply(&*outbox, order, topic).await;
        assert_eq!(
            (again.row.id, &again.row.payload),
            (first.row.id, &first.row.payload)
        );
        assert_eq!(level(&*stock, "A").await, before);

        // A repeat that comes after the release is still answered, and holds nothing.
        apply(&*stock, release(order), NOW).await;
        let released = take_reply(&*outbox, order, Topic::InventoryReleased).await;
        assert_ne!(released.row.id, first.row.id);
        let before = level(&*stock, "A").await;
        assert_eq!(apply(&*stock, wanted, LATER).await, Repeated);
        let again = take_reply(&*outbox, order, topic).await;
        assert_eq!(
            (again.row.id, &again.row.payload),
            (first.row.id, &first.row.payload)
        );
        assert_eq!(apply(&*stock, release(order), LATER).await, Repeated);
        let again = take_reply(&*outbox, order, Topic::InventoryReleased).await;
        assert_eq!(
            (again.row.id, &again.row.payload),
            (released.row.id, &released.row.payload)
        );
        assert_eq!(level(&*stock, "A").await, before);
    }
}

pub async fn what_is_released_or_shipped_is_so_once<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 10)]).await;
    let outbox = fixture.outbox();
    let (gone, back, kept) = (new_order(), new_order(), new_order());
    for order in [gone, back, kept] {
        apply(&*stock, reserve(order, &[("A", 3)]), NOW).await;
    }
    assert_eq!(level(&*stock, "A").await, (10, 9));
    take(&*outbox).await;
    assert_eq!(
        apply(&*stock, ship(gone), LATER).await,
        Applied(Reservation::Shipped)
    );
    assert!(
        take(&*outbox).await.is_empty(),
        "nobody waits for an answer"
    );
    assert_eq!(level(&*stock, "A").await, (7, 6));
    assert_eq!(
        apply(&*stock, release(back), LATER).await,
        Applied(Reservation::Released)
    );
    assert_eq!(level(&*stock, "A").await, (7, 3));
    for _ in 0..2 {
        assert_eq!(apply(&*stock, ship(gone), LATER).await, Ignored);
        assert_eq!(apply(&*stock, release(gone), LATER).await, Ignored);
        assert_eq!(apply(&*stock, release(back), LATER).await, Repeated);
        assert_eq!(apply(&*stock, ship(back), LATER).await, Ignored);
        assert_eq!(apply(&*stock, ship(new_order()), LATER).await, Ignored);
        assert_eq!(level(&*stock, "A").await, (7, 3));
    }
    let view = stock.reservation(gone).await.unwrap().unwrap();
    assert_eq!((view.state, view.updated_at), (Reservation::Shipped, LATER));
}

pub async fn a_refused_order_is_released_too<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 1)]).await;
    let (outbox, order) = (fixture.outbox(), new_order());
    apply(&*stock, reserve(order, &[("A", 2)]), NOW).await;
    take(&*outbox).await;
    assert_eq!(
        apply(&*stock, release(order), LATER).await,
        Applied(Reservation::Released)
    );
    take_reply(&*outbox, order, Topic::InventoryReleased).await;
    assert_eq!(level(&*stock, "A").await, (1, 0));
}

pub async fn a_batch_is_applied_in_order<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 3), ("B", 3)]).await;
    let (first, second, third) = (new_order(), new_order(), new_order());
    let batch = [
        reserve(first, &[("A", 3)]),
        reserve(second, &[("B", 1), ("A", 1)]),
        release(first),
        reserve(first, &[("A", 3)]),
        reserve(third, &[("A", 2), ("B", 3)]),
        ship(third),
    ];
    let outcomes = stock.apply(&batch, NOW).await.unwrap();
    let expected = [
        Applied(Reservation::Held),
        Applied(Reservation::Failed),
        Applied(Reservation::Released),
        Repeated,
        Applied(Reservation::Held),
        Applied(Reservation::Shipped),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(level(&*stock, "A").await, (1, 0));
    assert_eq!(level(&*stock, "B").await, (0, 0));
    let replies: Vec<_> = take(&*fixture.outbox())
        .await
        .iter()
        .map(|entry| (entry.order, entry.row.topic))
        .filter(|(order, _)| *order == first)
        .map(|(_, topic)| topic)
        .collect();
    let expected = [
        Topic::InventoryReserved,
        Topic::InventoryReleased,
        Topic::InventoryReserved,
    ];
    assert_eq!(replies, expected);
    assert_eq!(stock.apply(&[], NOW).await.unwrap(), []);
}

/// What has been replied is below one number; what of it waits is seen until it has been taken away.
pub async fn the_replies_that_wait_are_known<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    apply(&*stock, reserve(new_order(), &[("A", 1)]), NOW).await;
    apply(&*stock, reserve(new_order(), &[("A", 1)]), NOW).await;
    let given = stock.replies().await.unwrap();
    assert!(
        given.oldest.is_some_and(|oldest| oldest < given.newest),
        "{given:?}"
    );
    let outbox = fixture.outbox();
    let waiting = take(&*outbox).await;
    let seqs: Vec<i64> = waiting.iter().map(|row| row.row_id.seq).collect();
    assert!(
        seqs.iter().all(|seq| *seq <= given.newest),
        "{seqs:?} {given:?}"
    );
    assert_eq!(stock.replies().await.unwrap().oldest, None);
    apply(&*stock, reserve(new_order(), &[("A", 1)]), NOW).await;
    let later = stock.replies().await.unwrap();
    assert!(
        later.oldest.is_some_and(|oldest| oldest > given.newest),
        "{later:?}"
    );
}

/// A reply wakes whoever waits for the outbox. Apart from the list above, for adapters that signal
/// with the transaction itself.
pub async fn the_relay_is_woken<F: StockFixture>() {
    let (fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    let outbox = fixture.outbox();
    let patience = Duration::from_secs(20);
    outbox.wait(Duration::from_millis(50)).await;
    apply(&*stock, reserve(new_order(), &[("A", 1)]), NOW).await;
    let woken = tokio::time::timeout(patience, outbox.wait(patience * 2)).await;
    woken.expect("a reply that was stored before the wait ends it");
}
