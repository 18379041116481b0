//! Removing what is settled and old from a database, a page at a time. Leaves when, how fast and by
//! whose wish to `retention`.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::journal::BoxError;

/// Where a walk through a database stands: the adapter's own notes, meaningless to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Which of the adapter's walks.
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

/// Whether rows go or are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count what would go.
    Count,
    /// Remove it.
    Remove,
}

/// What one page came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows that went, or would go, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Why a page failed. Nothing of it was removed, or all of it.
#[derive(Debug, Error)]
#[error("old rows can't be removed")]
pub struct RetentionError(#[source] pub BoxError);

/// A database that can forget. Rows go by an index, and never while anybody may still change them.
#[async_trait]
pub trait Retention: Send + Sync {
    /// `orders` or `inventory`, as in logs and metrics.
    fn name(&self) -> &'static str;

    /// Takes the turn to remove old rows, unless somebody took it within `every`: several processes
    /// on one database share the work that way.
    async fn take_turn(&self, every: Duration) -> Result<bool, RetentionError>;

    /// Looks at the next `limit` rows from `from` on, and removes with all that belongs to them those
    /// that are settled and have not changed since `before`.
    async fn page(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError>;
}
