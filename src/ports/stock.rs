//! The inventory's database: stock levels, reservations and the inventory's own outbox rows.

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::invariants::Invariant;
use trackops_domain::stock::{Ledger, Level, Request, Reservation};
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

/// What became of a request, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockOutcome {
    /// New state stored, reply (if any) in the outbox.
    Applied(Reservation),
    /// Seen before: the reply that was given is in the outbox again, under its first id.
    Repeated,
    /// Nothing to do.
    Ignored,
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

/// Why the store failed.
#[derive(Debug, Error)]
pub enum StockError {
    /// Try again.
    #[error("the inventory database is away")]
    Unavailable(#[source] BoxError),
    /// One of the requests holds data that the database refuses: the batch should be halved.
    #[error("the inventory database refused the data of a request")]
    BadRequest(#[source] BoxError),
    /// The idempotency key was used with another item or quantity. Nothing was written.
    #[error("the idempotency key was used with another item or quantity")]
    KeyReused,
    /// The new quantity on hand is below what is reserved.
    #[error("{reserved} are reserved")]
    BelowReserved {
        /// How many are reserved.
        reserved: u64,
    },
}

/// Stock and reservations.
#[async_trait]
pub trait StockStore: Send + Sync + 'static {
    /// Applies `batch` in order, in one transaction: locks the orders' reservations and all touched
    /// items in order of SKU, decides by `trackops_domain::stock::Ledger`, stores levels,
    /// reservations and outbox rows (replies). `now` stamps new rows.
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError>;

    /// Sets the quantity on hand, creating the item. `key` is the client's idempotency key, if any;
    /// the bool says that this key was seen before with the same item and quantity: nothing changed
    /// now, and the level is the one that was answered then; with others it is [`StockError::KeyReused`].
    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        key: Option<&str>,
    ) -> Result<(Level, bool), StockError>;

    /// One item.
    async fn item(&self, sku: &Sku) -> Result<Option<Level>, StockError>;

    /// Items after `after` in order of SKU, at most `limit`.
    async fn items(&self, after: Option<&Sku>, limit: u32)
    -> Result<Vec<(Sku, Level)>, StockError>;

    /// An order's reservation.
    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError>;

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
    use metrics_exporter_prometheus::PrometheusBuilder;
    use trackops_domain::stock::Level;

    use super::*;

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
