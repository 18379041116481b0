//! The port to inventory's database: stock levels, reservations and inventory's own outbox rows. Leaves
//! deciding to `trackops_domain::stock`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::invariants::Invariant;
use trackops_domain::stock::batch::{self, Decided, Loaded};
use trackops_domain::stock::{Request, Reservation};
use trackops_domain::time::Timestamp;

use super::journal::BoxError;
pub use trackops_domain::stock::batch::StockOutcome;
pub use trackops_domain::stock::item::{Adjustment, Condition, Item, Versions, WriteRefused};

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
    /// The item doesn't allow the write, or the idempotency key doesn't. Nothing was written.
    #[error(transparent)]
    Refused(#[from] WriteRefused),
}

/// Stock and reservations.
#[async_trait]
pub trait StockStore: Send + Sync + 'static {
    /// Applies `batch` in order, in one transaction: locks the orders' reservations and all touched items
    /// in order of SKU, decides by [`decide`], stores levels, reservations and
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
    /// was seen with another item or quantity fails with [`WriteRefused::KeyReused`].
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

/// Every SKU that `batch` asks for. Those that a release gives back are known only once the reservations are
/// loaded.
pub fn demanded(batch: &[StockRequest]) -> BTreeSet<&Sku> {
    let demands = batch.iter().filter_map(|request| match &request.request {
        Request::Reserve(demand) => Some(demand),
        Request::Release | Request::Ship => None,
    });
    demands.flatten().map(|(sku, _)| sku).collect()
}

/// Decides `batch` on the rows that an adapter has loaded for it. Checks I6 of them in passing.
pub fn decide(batch: &[StockRequest], loaded: &Loaded, now: Timestamp) -> Decided {
    if let Some(sku) = loaded.unsound() {
        crate::telemetry::violated(Invariant::Stock, &format!("item {sku}"));
    }
    let requests = batch.iter();
    let requests = requests.map(|request| (request.order, &request.request));
    batch::decide(loaded, requests, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use trackops_domain::stock::Level;
    use trackops_domain::stock::record::Record;
    use uuid::Uuid;

    #[test]
    fn stock_that_does_not_add_up_moves_its_counter() {
        let sku = Sku::parse("A").expect("valid");
        let checked = |on_hand, reserved, held| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            let now = Timestamp(0);
            let demand = Request::Reserve(vec![(sku.clone(), held)]);
            let record = Record::after(None, &demand, Reservation::Held, None, now);
            let loaded = Loaded {
                levels: [(sku.clone(), Level { on_hand, reserved })].into(),
                records: [(OrderId(Uuid::nil()), record)].into(),
                ..Loaded::default()
            };
            metrics::with_local_recorder(&recorder, || decide(&[], &loaded, now));
            handle.render().contains("invariant=\"I6\"} 1")
        };
        assert!(!checked(5, 5, 5), "all reserved, all held");
        assert!(checked(5, 6, 5), "more reserved than there is");
        assert!(checked(5, 4, 5), "more held than reserved");
    }
}
