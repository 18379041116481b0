//! The port to the journal of orders. Each append writes the order's row, its event and its outbox rows
//! in one statement. Leaves their stored form to `codec`.

use async_trait::async_trait;
use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::{CustomerId, OrderId, ShopId, Version};
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use crate::model::event_row::EventRow;
use crate::model::outbox_row::OutboxRow;

/// The most rows in one append. With more, a statement would hold its locks for longer than a claim
/// should wait.
pub const APPEND_ROWS_MAX: usize = 512;

/// The most bytes of the rows of one append, unless a single row is larger. A full append of usual orders
/// has half of it; a full append of the largest orders would be a statement of 100 MB.
pub const APPEND_BYTES_MAX: usize = 4 << 20;

/// The most orders in one load: some 8 MiB if all are of the largest, with the longest histories.
pub const LOAD_ORDERS_MAX: usize = 64;

/// The most shops in one list. A list reads its page of each shop and status, so this bounds what it reads.
pub const LIST_SHOPS_MAX: usize = 16;

/// One order's part of an append. At most one row per order in a call.
#[derive(Clone, Debug)]
pub struct AppendRow {
    /// Whose.
    pub order: OrderId,
    /// The order's shard.
    pub shard: ShardId,
    /// The epoch under which the writer owns the shard; refused if the shard's is higher.
    pub epoch: Epoch,
    /// The version that the stored row must have; `None` creates the order.
    pub expected: Option<Version>,
    /// The order's row after this append.
    pub head: Head,
    /// The event; `None` for saga bookkeeping, which changes only the head.
    pub event: Option<EventRow>,
    /// Messages to publish.
    pub outbox: SmallVec<[OutboxRow; 2]>,
}

/// The row of an order, which lists and deadlines are read from. The order's content is in its first
/// event.
#[derive(Clone, Debug)]
pub struct Head {
    /// The version after the append (unchanged by bookkeeping).
    pub version: Version,
    /// The status after the append.
    pub status: Status,
    /// Who ordered.
    pub customer: CustomerId,
    /// Which shop prepares it. Like the customer, it never changes.
    pub shop: Option<ShopId>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the deadline scanner should look at it.
    pub deadline: Option<Timestamp>,
    /// Stored form of saga and remembered commands, JSON: `codec::stored::saga`.
    pub saga: Bytes,
}

/// The outcome of one row of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Durable.
    Committed,
    /// The shard's epoch is higher: this replica no longer owns it. Nothing was written.
    Fenced,
    /// The stored row has another version, or exists already. Nothing was written.
    Conflict,
}

/// Why an append failed as a whole. No part of it is committed without the rest, except for
/// [`AppendError::Unknown`].
#[derive(Debug, Error)]
pub enum AppendError {
    /// The journal refused a row's data (SQLSTATE class 22 or 23). Nothing is written; halving the batch
    /// finds the row.
    #[error("the journal refused the data of a row")]
    BadRow(#[source] BoxError),
    /// The append certainly did not happen (not connected, or refused before it ran). It may be tried
    /// again.
    #[error("the journal is away")]
    Unavailable(#[source] BoxError),
    /// The connection was lost while the append ran: it may have happened or may still happen. Claiming
    /// the shards again settles it.
    #[error("the journal was lost during an append")]
    Unknown(#[source] BoxError),
}

/// Why a read failed.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Not reachable or too slow.
    #[error("the journal is away")]
    Unavailable(#[source] BoxError),
    /// This version of the program can't read the stored data.
    #[error("a stored order can't be read")]
    Corrupt(#[source] BoxError),
}

/// The source of an adapter's error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which orders to list, newest first by (`created_at`, `id`).
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only orders with one of these statuses; of any status if empty.
    pub statuses: SmallVec<[Status; 1]>,
    /// Only orders of this customer.
    pub customer: Option<CustomerId>,
    /// Only orders of one of these shops, at most [`LIST_SHOPS_MAX`]; of any shop and of none if empty.
    pub shops: Vec<ShopId>,
    /// Only orders strictly older than this.
    pub before: Option<(Timestamp, OrderId)>,
    /// At most this many orders.
    pub limit: u32,
}

impl ListFilter {
    /// The wanted statuses, each once; all if the filter names none.
    pub fn wanted_statuses(&self) -> SmallVec<[Status; 7]> {
        let is_wanted =
            |status: &Status| self.statuses.is_empty() || self.statuses.contains(status);
        Status::ALL.into_iter().filter(is_wanted).collect()
    }

    /// The wanted shops, each once; none if the orders of every shop are wanted.
    pub fn wanted_shops(&self) -> Vec<&str> {
        debug_assert!(
            self.shops.len() <= LIST_SHOPS_MAX,
            "too many shops in a list"
        );
        let mut shops: Vec<&str> = self.shops.iter().map(ShopId::as_str).collect();
        shops.sort_unstable();
        shops.dedup();
        shops
    }
}

/// An order whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub order: OrderId,
    /// The deadline as stored.
    pub deadline: Timestamp,
    /// Its status, which tells what it waits for: PENDING for stock, CANCELLED for the release of stock.
    pub status: Status,
    /// Whether the order still has a row in the outbox.
    pub request_unsent: bool,
}

/// The orders' database.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Appends all of `rows` (at most [`APPEND_ROWS_MAX`], one per order) in one statement: fence
    /// check, order row, event, outbox rows. The outcomes are in the order of `rows`.
    async fn append(&self, rows: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError>;

    /// Tells the relays that there is work. Called by the writer after commits, at most every 25 ms.
    async fn announce(&self) -> Result<(), JournalError>;

    /// Loads orders with their whole log, in the order of `orders`; `None` for an unknown one.
    async fn load(&self, orders: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError>;

    /// One page of orders.
    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError>;

    /// Orders of `shards` whose deadline is at or before `now`, oldest first, at most `limit`.
    async fn due(
        &self,
        shards: &[ShardId],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Due>, JournalError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), JournalError>;
}
