//! The in-memory journal's outbox, as far as its appends can be seen in it. No relay works on it, so
//! its lanes are nobody's to lease.

use std::time::Duration;

use async_trait::async_trait;
use trackops::model::outbox_row::{OutboxEntry, RowId};
use trackops::ports::outbox::{Fetched, Outbox, OutboxError, OutboxStats, UnreadableRow, Wanted};

use super::journal::MemoryJournal;

/// The outbox of a journal.
pub struct MemoryOutbox(pub MemoryJournal);

fn no_relay() -> OutboxError {
    OutboxError("no relay works in memory".into())
}

#[async_trait]
impl Outbox for MemoryOutbox {
    fn name(&self) -> &'static str {
        "orders"
    }

    async fn lease(&self, _holder: &str, _ttl: Duration) -> Result<Vec<u16>, OutboxError> {
        Err(no_relay())
    }

    async fn release(&self, _holder: &str) -> Result<(), OutboxError> {
        Err(no_relay())
    }

    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError> {
        let mut stored = self.0.0.lock();
        stored
            .outbox
            .retain(|entry| !removed.contains(&entry.row_id));
        let is_wanted = |entry: &&OutboxEntry| {
            let mut lanes = wanted.lanes.iter();
            lanes.any(|from| from.lane == entry.row_id.lane && from.after < entry.row_id.seq)
                && !wanted.except.contains(&entry.row_id)
        };
        let rows = stored.outbox.iter().filter(is_wanted);
        Ok(Fetched {
            rows: rows
                .take(wanted.rows_max as usize)
                .cloned()
                .map(Ok)
                .collect(),
            next: wanted.lanes.clone(),
            has_more: false,
        })
    }

    async fn set_aside(&self, _: &[UnreadableRow]) -> Result<(), OutboxError> {
        Err(no_relay())
    }

    async fn take_back(&self, _: &[u16]) -> Result<u64, OutboxError> {
        Err(no_relay())
    }

    async fn wait(&self, timeout: Duration) {
        // Nobody announces anything.
        tokio::time::sleep(timeout).await;
    }

    /// Ages aren't kept.
    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        Ok(OutboxStats {
            pending: self.0.0.lock().outbox.len() as u64,
            oldest_age: None,
            set_aside: 0,
        })
    }
}
