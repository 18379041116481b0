//! The in-memory journal's outbox, as far as its appends can be seen in it. No relay works on it, so
//! its lanes are nobody's to lease.

use std::time::Duration;

use async_trait::async_trait;
use trackops::ports::outbox::{Outbox, OutboxEntry, OutboxError, OutboxStats};

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

    async fn fetch(&self, lane: u16, limit: u32) -> Result<Vec<OutboxEntry>, OutboxError> {
        let stored = self.0.0.lock();
        Ok(stored.lane(lane).take(limit as usize).cloned().collect())
    }

    async fn acknowledge(&self, seqs: &[i64]) -> Result<(), OutboxError> {
        let mut stored = self.0.0.lock();
        stored.outbox.retain(|entry| !seqs.contains(&entry.seq));
        Ok(())
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
        })
    }
}
