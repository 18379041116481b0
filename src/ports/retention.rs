//! The port for removing old settled rows from a database, a page at a time. Leaves when and how fast to
//! remove them to `retention`.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::journal::BoxError;

/// The position of a walk through a database. Only the adapter knows what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the adapter's walk.
    pub walk: usize,
    /// The last row that was looked at.
    pub at: Timestamp,
    /// The last row that was looked at.
    pub id: Uuid,
}

impl Cursor {
    /// The last row, where rows are numbered.
    pub fn number(&self) -> i64 {
        i64::try_from(self.id.as_u128()).unwrap_or(i64::MAX)
    }

    /// The same walk, behind the row of this number.
    #[must_use]
    pub fn after_number(self, number: i64) -> Self {
        let id = Uuid::from_u128(u128::try_from(number).unwrap_or(0));
        Self { id, ..self }
    }
}

/// Whether old rows are removed or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count the rows that would be removed.
    Count,
    /// Remove the rows.
    Remove,
}

/// The outcome of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows removed, or rows that would be removed, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Why a page failed. Either all its rows were removed or none.
#[derive(Debug, Error)]
#[error("old rows can't be removed")]
pub struct RetentionError(#[source] pub BoxError);

/// A database whose old rows can be removed. Rows are found by an index, and never removed while they may
/// still change.
#[async_trait]
pub trait Retention: Send + Sync {
    /// `orders` or `inventory`, as in logs and metrics.
    fn name(&self) -> &'static str;

    /// Takes the turn to remove old rows, unless a process took it within `every`. Several processes on
    /// one database share the work that way.
    async fn take_turn(&self, every: Duration) -> Result<bool, RetentionError>;

    /// Looks at the next `limit` rows from `from` on. Removes those that are settled and have not changed
    /// since `before`, with all rows that belong to them.
    async fn page(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError>;
}
