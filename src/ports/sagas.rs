//! The port to the sagas that wait for inventory, for operations: which ones, since when, and how many
//! are stuck. Leaves moving them on to the orders.

use std::time::Duration;

use async_trait::async_trait;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::journal::JournalError;

/// A deadline that has passed by more than this is no ordinary delay: the scanner has looked sixty times
/// since.
const OVERDUE_AFTER: Duration = Duration::from_mins(1);

/// What counts as stuck: an order whose deadline has passed without effect, or one that has waited for
/// long although its deadline was moved on or its request was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its deadline is before this.
    pub overdue: Timestamp,
    /// Or it has waited since before this.
    pub waiting: Timestamp,
}

impl Stuck {
    /// The limits at `now`, if an order that waits longer than `after` is stuck.
    pub fn at(now: Timestamp, after: Duration) -> Self {
        let before = |ago: Duration| {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            Timestamp(now.0.saturating_sub(ago))
        };
        Self {
            overdue: before(OVERDUE_AFTER),
            waiting: before(after),
        }
    }
}

/// Which of the waiting orders to list, the longest waiting first by (`since`, `order`).
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitingFilter {
    /// Only orders that are stuck by these limits.
    pub stuck: Option<Stuck>,
    /// Only orders strictly after this one.
    pub after: Option<(Timestamp, OrderId)>,
    /// At most this many orders.
    pub limit: u32,
}

/// An order that waits for inventory's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub order: OrderId,
    /// PENDING for stock, CANCELLED for the release of stock.
    pub status: Status,
    /// When the wait began.
    pub since: Timestamp,
    /// When the scanner looks at it next.
    pub deadline: Timestamp,
    /// How often inventory was asked again.
    pub asked_again: u32,
}

/// The waiting sagas of the orders' database.
#[async_trait]
pub trait Sagas: Send + Sync + 'static {
    /// One page of the waiting orders of all shards.
    async fn waiting(&self, filter: &WaitingFilter) -> Result<Vec<Waiting>, JournalError>;

    /// How many orders of `shards` are stuck, counted up to `max`.
    async fn count_stuck(
        &self,
        shards: &[ShardId],
        stuck: Stuck,
        max: u32,
    ) -> Result<u64, JournalError>;
}
