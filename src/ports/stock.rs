//! The port to inventory's database: stock levels, reservations and inventory's own outbox rows. Leaves
//! deciding to `trackops_domain::stock`.

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::invariants::Invariant;
use trackops_domain::stock::{Ledger, Level, Request, Reservation, RestockRefused};
use trackops_domain::time::Timestamp;

use super::journal::BoxError;
use std::sync::Arc;

/// One message's request to the ledger.
#[derive(Clone, Debug)]
pub struct StockRequest {
    /// For which order.
    pub order: OrderId,
    /// What.
    pub request: Request,
    /// Trace context to pass on.
    pub traceparent: Option<Arc<str>>,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockOutcome {
    /// New state stored, reply (if any) in the outbox.
    Applied(Reservation),
    /// Seen before: the earlier reply is in the outbox again, under its first id.
    Repeated,
    /// Nothing to do.
    Ignored,
    /// The stored rows of the order, or of an item that it touches, can't be read. Nothing was changed
    /// for the request, and nothing will be until an operator has repaired the row.
    Unreadable(String),
}

/// An item as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// How many.
    pub level: Level,
    /// 1 when the item was first stocked. It rises with every change, also of the reserved quantity.
    pub version: u64,
}

/// A client's change of an item's quantity by an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Rises with each adjustment.
    pub id: i64,
    /// How many more, or fewer.
    pub delta: i64,
    /// In the client's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The item after it.
    pub item: Item,
}

/// Which versions of an item a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Any version: the item must exist.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl Versions {
    fn have(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::Any, current) => current.is_some(),
            (Self::OneOf(versions), Some(current)) => versions.contains(&current),
            (Self::OneOf(_), None) => false,
        }
    }
}

/// The condition for writing an item (RFC 9110, 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The item must have one of these versions.
    pub if_match: Option<Versions>,
    /// The item must have none of these versions.
    pub if_none_match: Option<Versions>,
}

impl Condition {
    /// Checks whether an item of version `current` may be written. `None` means that the item doesn't
    /// exist.
    pub fn check(&self, current: Option<u64>) -> Result<(), StockError> {
        let is_wanted = self.if_match.as_ref().is_none_or(|v| v.have(current));
        let is_unwanted = self.if_none_match.as_ref().is_some_and(|v| v.have(current));
        if is_wanted && !is_unwanted {
            return Ok(());
        }
        Err(StockError::PreconditionFailed { current })
    }
}

/// An order's reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// Whose.
    pub order: OrderId,
    /// Its state.
    pub state: Reservation,
    /// The items held now or before (asked for, if the reservation failed).
    pub items: Vec<(Sku, u64)>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The replies in inventory's outbox, by numbers that rise with each reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// No reply that was committed before the call has a higher number.
    pub newest: i64,
    /// The lowest number of a reply that waits to be published.
    pub oldest: Option<i64>,
}

/// Why the store failed.
#[derive(Debug, Error)]
pub enum StockError {
    /// Try again.
    #[error("the inventory database is away")]
    Unavailable(#[source] BoxError),
    /// One of the requests has data that the database refuses: the caller should halve the batch.
    #[error("the inventory database refused the data of a request")]
    BadRequest(#[source] BoxError),
    /// The idempotency key was used for something else. Nothing was written.
    #[error("the idempotency key was used with another item or quantity")]
    KeyReused,
    /// The item doesn't allow the change. Nothing was written.
    #[error(transparent)]
    Refused(#[from] RestockRefused),
    /// The item's version doesn't meet the condition. Nothing was written.
    #[error("the item has another version")]
    PreconditionFailed {
        /// Its version; `None` if there is none.
        current: Option<u64>,
    },
    /// There is no such item.
    #[error("no such item")]
    UnknownItem,
}

/// Stock and reservations.
#[async_trait]
pub trait StockStore: Send + Sync + 'static {
    /// Applies `batch` in order, in one transaction: locks the orders' reservations and all touched items
    /// in order of SKU, decides by `trackops_domain::stock::Ledger`, stores levels, reservations and
    /// outbox rows (replies). `now` stamps new rows. Returns one outcome for each request. A request
    /// whose stored rows can't be read doesn't hold up the others.
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError>;

    /// Sets the quantity on hand if `condition` holds, and creates the item if it is missing. `key` is
    /// the client's idempotency key, if any. The bool is `true` if this key was seen before with the same
    /// item and quantity: nothing changed now, and the item is the one that was answered then. A key that
    /// was seen with another item or quantity fails with [`StockError::KeyReused`].
    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        condition: &Condition,
        key: Option<&str>,
    ) -> Result<(Item, bool), StockError>;

    /// Adds `delta` to the quantity on hand, in one step. `key` works as above, compared with item, delta
    /// and reason.
    async fn adjust(
        &self,
        sku: &Sku,
        delta: i64,
        reason: &str,
        key: Option<&str>,
    ) -> Result<(Adjustment, bool), StockError>;

    /// The adjustments of an item before `before` (by id), newest first, at most `limit`.
    async fn adjustments(
        &self,
        sku: &Sku,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Adjustment>, StockError>;

    /// One item.
    async fn item(&self, sku: &Sku) -> Result<Option<Item>, StockError>;

    /// Items after `after` in order of SKU, at most `limit`.
    async fn items(&self, after: Option<&Sku>, limit: u32) -> Result<Vec<(Sku, Item)>, StockError>;

    /// An order's reservation.
    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError>;

    /// The numbers of the newest reply and of the oldest waiting one.
    async fn replies(&self) -> Result<Replies, StockError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), StockError>;
}

/// Checks I6 in running code. An adapter calls it with the levels and reservations that a batch touches,
/// before the levels change.
pub fn check<'a>(ledger: &Ledger, held: impl Iterator<Item = &'a (Sku, u64)>) {
    if let Some(sku) = ledger.unsound(held) {
        crate::telemetry::violated(Invariant::Stock, &format!("item {sku}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn stock_that_does_not_add_up_moves_its_counter() {
        let sku = Sku::parse("A").expect("valid");
        let checked = |on_hand, reserved, held| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            let levels = [(sku.clone(), Level { on_hand, reserved })];
            let ledger = Ledger::new(levels.into_iter().collect());
            metrics::with_local_recorder(&recorder, || {
                check(&ledger, [(sku.clone(), held)].iter());
            });
            handle.render().contains("invariant=\"I6\"} 1")
        };
        assert!(!checked(5, 5, 5), "all reserved, all held");
        assert!(checked(5, 6, 5), "more reserved than there is");
        assert!(checked(5, 4, 5), "more held than reserved");
    }
}
