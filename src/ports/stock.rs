//! The inventory's database: stock levels, reservations and the inventory's own outbox rows.

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

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockOutcome {
    /// New state stored, reply (if any) in the outbox.
    Applied(Reservation),
    /// Seen before: the reply that was given is in the outbox again, under its first id.
    Repeated,
    /// Nothing to do.
    Ignored,
    /// What is stored of the order, or of an item that it touches, can't be read: nothing was changed for
    /// it, and nothing will be before somebody has repaired the row.
    Unreadable(String),
}

/// An item as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// How many.
    pub level: Level,
    /// 1 when it was first stocked; rises with every change, of what is reserved, too.
    pub version: u64,
}

/// What a client has added to an item or taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Rises with each.
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
    /// Any: that there is one.
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

/// Under which condition an item is written (RFC 9110, 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// It must be one of these.
    pub if_match: Option<Versions>,
    /// It must be none of these.
    pub if_none_match: Option<Versions>,
}

impl Condition {
    /// Whether an item of version `current` may be written; `None` is one that isn't there.
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
    /// What is or was held (asked for, if it failed).
    pub items: Vec<(Sku, u64)>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The replies in the inventory's outbox, by numbers that rise with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// No reply that was committed before has a higher one.
    pub newest: i64,
    /// The lowest that is waiting to be published.
    pub oldest: Option<i64>,
}

/// Why the store failed.
#[derive(Debug, Error)]
pub enum StockError {
    /// Try again.
    #[error("the inventory database is away")]
    Unavailable(#[source] BoxError),
    /// One of the requests holds data that the database refuses: the batch should be halved.
    #[error("the inventory database refused the data of a request")]
    BadRequest(#[source] BoxError),
    /// The idempotency key was used for something else. Nothing was written.
    #[error("the idempotency key was used with another item or quantity")]
    KeyReused,
    /// The item doesn't allow the change. Nothing was written.
    #[error(transparent)]
    Refused(#[from] RestockRefused),
    /// The item is of another version than the condition wants. Nothing was written.
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
    /// Applies `batch` in order, in one transaction: locks the orders' reservations and all touched
    /// items in order of SKU, decides by `trackops_domain::stock::Ledger`, stores levels,
    /// reservations and outbox rows (replies). `now` stamps new rows. One outcome a request: one whose
    /// stored rows can't be read keeps none of the others back.
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError>;

    /// Sets the quantity on hand, creating the item, if it is as `condition` says. `key` is the client's
    /// idempotency key, if any; the bool says that this key was seen before with the same item and
    /// quantity: nothing changed now, and the item is the one that was answered then; with others it is
    /// [`StockError::KeyReused`].
    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        condition: &Condition,
        key: Option<&str>,
    ) -> Result<(Item, bool), StockError>;

    /// Adds `delta` to what is on hand, in one step. `key` as above, with item, delta and reason.
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

    /// Which replies have been given, and which of them wait.
    async fn replies(&self) -> Result<Replies, StockError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), StockError>;
}

/// I6 in running code: whoever loads levels and the reservations that a batch touches has them
/// checked before they are moved.
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
