//! The port to an outbox: messages that are written together with the change that they tell of, and
//! removed after the broker's acknowledgement. Leaves relaying them to `outbox`.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use super::journal::BoxError;
use crate::model::outbox_row::{OutboxEntry, RowId};

/// How many lanes an outbox has: the unit of work that relays share by lease. An order's rows are
/// all in the lane `shard % OUTBOX_LANES` (inventory: of the order's hash), so one relay sees them in order.
/// The tables of PostgreSQL have their own eight (`0001_outbox.sql`); the contract suite compares.
pub const OUTBOX_LANES: u16 = 8;

/// A row that this program can't read, perhaps because a newer one wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Finds the row.
    pub row_id: RowId,
    /// What is wrong with it.
    pub reason: String,
}

/// The reason of a row whose topic this program doesn't know. A newer program knows it, and takes the row
/// back.
pub const UNKNOWN_TOPIC: &str = "unknown topic";

/// The position from which a lane is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLanePosition {
    /// The lane.
    pub lane: u16,
    /// Rows up to this number are skipped.
    pub after: i64,
}

impl OutboxLanePosition {
    /// The beginning of a lane.
    pub const fn start(lane: u16) -> Self {
        Self { lane, after: 0 }
    }
}

/// What to fetch.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The lanes, each from the position that the last fetch returned, or from its start. A caller that
    /// has dropped a row without removing it must read the lane from the start again.
    pub lanes: Vec<OutboxLanePosition>,
    /// Rows beyond these positions that the caller already has.
    pub except: Vec<RowId>,
    /// The most rows. Each lane gets its share, or more where other lanes have less.
    pub rows_max: u32,
    /// About the most bytes of payload, shared in the same way: the row that exceeds a share is its last.
    pub bytes_max: u32,
}

/// What was fetched.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The first rows of each lane, each lane's by number. If the store had to start again and can't use
    /// the positions, it also returns rows that the caller already has.
    pub rows: Vec<Result<OutboxEntry, UnreadableRow>>,
    /// The position from which each lane is to be read on.
    pub next: Vec<OutboxLanePosition>,
    /// Set if a lane had as many rows as were asked for, so there may be more.
    pub has_more: bool,
}

/// A call to the outbox failed.
#[derive(Debug, Error)]
#[error("the outbox is away")]
pub struct OutboxError(#[source] pub BoxError);

/// The number and age of the waiting rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// The waiting rows; past [`COUNTED_MAX`] an estimate.
    pub pending: u64,
    /// The age of the oldest row.
    pub oldest_age: Option<Duration>,
    /// Rows that a relay couldn't read and has set aside; [`COUNTED_MAX`] if there are more.
    pub set_aside: u64,
}

/// The most rows that are counted: enough to see a backlog grow, and cheap enough to count every few
/// seconds.
pub const COUNTED_MAX: u32 = 10_000;

/// One database's outbox, as the relay uses it.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The outbox's name: `orders` or `inventory`. For logs, metrics and the `source` attribute.
    fn name(&self) -> &'static str;

    /// Takes or renews leases of lanes for `holder`, for `ttl` by the store's clock. Keeps the lanes that
    /// it holds, takes free or expired ones up to its fair share among the live holders (all if it is
    /// alone), and gives back those over its share. Returns the lanes held now.
    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError>;

    /// Gives up every lane of `holder` at once, for a clean stop.
    async fn release(&self, holder: &str) -> Result<(), OutboxError>;

    /// Removes rows that the broker has acknowledged, then returns the first rows of the wanted lanes. A
    /// row that can't be read doesn't hold up the others. After an error the rows may have been removed
    /// or not.
    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError>;

    /// Moves rows that can't be read aside, where operations and a newer program find them.
    async fn set_aside(&self, rows: &[UnreadableRow]) -> Result<(), OutboxError>;

    /// Puts set-aside rows of `lanes` back into the outbox, behind all others: those with the reason
    /// [`UNKNOWN_TOPIC`] whose topic this program knows. Returns how many.
    async fn take_back(&self, lanes: &[u16]) -> Result<u64, OutboxError>;

    /// Returns when there may be work: a notification, or `timeout` at the latest. Signals sent
    /// since the last call are not missed.
    async fn wait(&self, timeout: Duration);

    /// The number and age of the waiting rows.
    async fn stats(&self) -> Result<OutboxStats, OutboxError>;
}
