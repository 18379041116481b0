//! Committed states on their way into the cache. Callers already have their answers, so until a write is
//! confirmed, none of its orders is read from the cache. The live actor has the state; without an actor, the
//! journal has it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::SemaphorePermit;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::gate::CacheGate;
use super::requests::{count, entry_from};
use crate::ports::cache::CacheEntry;

/// A committed order, and its view.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its shard.
    pub shard: ShardId,
    /// The order as committed.
    pub order: Arc<Order>,
    /// The order's view, by `codec::view::render`.
    pub view: Bytes,
}

/// A write to the cache that is not confirmed yet. Until then none of its orders is read from the cache. If
/// it is dropped before it is written, it counts as failed.
pub struct Unconfirmed<'a> {
    gate: &'a CacheGate,
    /// The entries to write; empty while the breaker is open.
    batch: Vec<CacheEntry>,
    /// The orders that may not be read from the cache.
    marked: Vec<(ShardId, OrderId)>,
    /// Shards whose orders may be newer than the cache's entries. The generation of any that is left here on
    /// drop becomes unknown.
    shards: Vec<(ShardId, i64)>,
}

impl CacheGate {
    /// To be called after the commit and before the change is answered or shown. The caller must then write
    /// what it returns, before or after the answer.
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
        // After the marks: a read that finds a version here finds the marks too.
        for entry in &entries {
            self.watch.written(entry.order.id, entry.order.version());
        }
        // After the marks: a load that begins from now on sees them, and no reader joins an earlier load.
        self.flights
            .forget(entries.iter().map(|entry| entry.order.id));
        for entry in entries {
            // Without a known generation no cached entry of the shard is believed, so skipping the write
            // loses nothing.
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
    /// A permit to answer before the write is confirmed, if not too many writes are in flight.
    pub fn ahead(&self) -> Option<SemaphorePermit<'a>> {
        self.gate.pending.ahead()
    }

    /// Writes all entries in one call to the cache. Never fails, and takes at most the write limit.
    pub async fn write(mut self) {
        if !self.batch.is_empty() {
            if self.gate.put(&self.batch).await {
                self.shards.clear();
                count("written", self.batch.len());
            } else {
                count("error", self.batch.len());
            }
        }
        // Before the marks are cleared: the answer may have come over another connection.
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
