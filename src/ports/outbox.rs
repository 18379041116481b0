//! The outbox: what is to be published, written with what it tells of, taken away after the
//! broker's acknowledgement.

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

/// From where a lane is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLanePosition {
    /// The lane.
    pub lane: u16,
    /// Rows up to this number aren't looked for.
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
    /// The lanes, each as the fetch before gave it, or from its start. Whoever has let go of a row
    /// without removing it reads its lane from the start again.
    pub lanes: Vec<OutboxLanePosition>,
    /// Rows beyond these positions that the caller has already.
    pub except: Vec<RowId>,
    /// The most rows: each lane may have its share, or more where others have less.
    pub rows_max: u32,
    /// About the most bytes of payload, shared likewise: the row that passes a share is its last.
    pub bytes_max: u32,
}

/// What was fetched.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The first rows of each lane, each lane's by number. Where the positions were of no use, because
    /// the store had to begin anew, rows come again that the caller has.
    pub rows: Vec<Result<OutboxEntry, UnreadableRow>>,
    /// From where each lane is to be read on.
    pub next: Vec<OutboxLanePosition>,
    /// A lane had as many rows as were asked for, so there may be more.
    pub has_more: bool,
}

/// The outbox failed.
#[derive(Debug, Error)]
#[error("the outbox is away")]
pub struct OutboxError(#[source] pub BoxError);

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Rows; beyond [`COUNTED_MAX`] an estimate.
    pub pending: u64,
    /// Age of the oldest.
    pub oldest_age: Option<Duration>,
    /// Rows that a relay couldn't read and has put aside; [`COUNTED_MAX`] if there are more.
    pub set_aside: u64,
}

/// So many rows are counted: enough to see a backlog grow, cheap enough to count every few seconds.
pub const COUNTED_MAX: u32 = 10_000;

/// One database's outbox, as the relay uses it.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Whose it is: `orders` or `inventory`. For logs, metrics and the `source` attribute.
    fn name(&self) -> &'static str;

    /// Takes or renews leases of lanes for `holder` for `ttl` by the store's clock: keeps those that
    /// it holds, takes free or expired ones up to its fair share among the live holders (all, when it
    /// is alone), gives back what is over its share. Returns the lanes held now.
    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError>;

    /// Gives up every lane of `holder` at once, for a clean stop.
    async fn release(&self, holder: &str) -> Result<(), OutboxError>;

    /// Removes rows that the broker has acknowledged, then gives the first rows of the lanes wanted. A row
    /// that can't be read doesn't keep others from being given. After an error the rows may be removed or
    /// not.
    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError>;

    /// Puts rows that can't be read out of the way, where operations and a newer program find them.
    async fn set_aside(&self, rows: &[UnreadableRow]) -> Result<(), OutboxError>;

    /// Puts rows of `lanes` that were set aside for [`UNKNOWN_TOPIC`], and whose topic this program knows,
    /// back into the outbox, behind all others. Returns how many.
    async fn take_back(&self, lanes: &[u16]) -> Result<u64, OutboxError>;

    /// Returns when there may be work: a notification, or `timeout` at the latest. Signals sent
    /// since the last call are not missed.
    async fn wait(&self, timeout: Duration);

    /// How much waits.
    async fn stats(&self) -> Result<OutboxStats, OutboxError>;
}
