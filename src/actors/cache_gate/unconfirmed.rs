//! Committed states on their way into the cache. Callers have their answers by then, so until a write
//! is confirmed nothing that the cache holds of its orders is read: the live actor has the state, and
//! where there is none the journal.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::SemaphorePermit;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::core::CacheGate;
use super::requests::{count, entry_from};
use crate::ports::cache::CacheEntry;

/// A committed order, and its view.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its shard.
    pub shard: ShardId,
    /// As committed.
    pub order: Arc<Order>,
    /// `codec::view::render` of it.
    pub view: Bytes,
}

/// A write to come. Until it is confirmed nothing of its orders is read from the cache. Dropped before, it
/// counts as failed.
pub struct Unconfirmed<'a> {
    gate: &'a CacheGate,
    /// What is to be written; nothing while the cache is left alone.
    batch: Vec<CacheEntry>,
    /// Of which orders nothing may be read.
    marked: Vec<(ShardId, OrderId)>,
    /// Shards whose orders may be newer than what the cache holds. With any left in it, they become
    /// unreadable.
    shards: Vec<(ShardId, i64)>,
}

impl CacheGate {
    /// To be called after the commit and before anything is answered or shown; what it returns is then to
    /// be written, before or after.
    pub fn committed(&self, entries: Vec<Committed>) -> Unconfirmed<'_> {
        self.check_session();
        let is_open = self.is_open();
        let total = entries.len();
        let mut unconfirmed = Unconfirmed {
            gate: self,
            batch: Vec::with_capacity(if is_open { 0 } else { total }),
            marked: Vec::with_capacity(total),
            shards: Vec::with_capacity(total),
        };
        for entry in &entries {
            unconfirmed.marked.push((entry.shard, entry.order.id));
        }
        self.pending.mark(&unconfirmed.marked);
        // After the marks: a read that finds a version here finds them too.
        for entry in &entries {
            self.watch.written(entry.order.id, entry.order.version());
        }
        // After the marks: a load that begins from now on sees them, and nobody joins an earlier one.
        self.flights
            .forget(entries.iter().map(|entry| entry.order.id));
        for entry in entries {
            // Not known: nothing that the cache holds of the shard is believed, so nothing is lost.
            let Some(generation) = self.generations.known(entry.shard) else {
                continue;
            };
            unconfirmed.shards.push((entry.shard, generation));
            if !is_open {
                let entry = entry_from(&entry.order, entry.view, generation);
                unconfirmed.batch.push(entry);
            }
        }
        count("skipped", total - unconfirmed.batch.len());
        unconfirmed
    }
}

impl<'a> Unconfirmed<'a> {
    /// Leave to answer before the write is confirmed, if not too many are under way.
    pub fn ahead(&self) -> Option<SemaphorePermit<'a>> {
        self.gate.pending.ahead()
    }

    /// Writes in one call to the cache. Never fails, and takes at most the write limit.
    pub async fn write(mut self) {
        if !self.batch.is_empty() {
            if self.gate.put(&self.batch).await {
                self.shards.clear();
                count("written", self.batch.len());
            } else {
                count("error", self.batch.len());
            }
        }
        // Before the marks go: the answer may have come over another connection.
        self.gate.check_session();
    }
}

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        for (shard, generation) in &self.shards {
            self.gate.generations.distrust(*shard, Some(*generation));
        }
        if !self.shards.is_empty() {
            self.gate.repair();
        }
        self.gate.pending.clear(&self.marked);
    }
}
