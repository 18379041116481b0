//! Committed states on their way into the cache. Callers have their answers by then, so until a write
//! is confirmed nothing that the cache holds of its orders is read: the live actor has the state, and
//! where there is none the journal.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::{CacheGate, count, entry_from};
use crate::ports::cache::CacheEntry;

/// Writes under way of which the callers are not made to wait. A cache answers within a millisecond, or
/// is left alone after fifty: past this it is too slow, and the replica goes at its pace.
const AHEAD_MAX: usize = 16;

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

/// Whose writes are not confirmed yet.
pub(super) struct Pending {
    marks: Mutex<Marks>,
    /// Told when some are confirmed.
    fewer: Notify,
    ahead: Semaphore,
}

#[derive(Default)]
struct Marks {
    orders: HashMap<OrderId, u32>,
    shards: HashMap<ShardId, u32>,
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
        self.gate.pending.ahead.try_acquire().ok()
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

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            marks: Mutex::default(),
            fewer: Notify::new(),
            ahead: Semaphore::new(AHEAD_MAX),
        }
    }

    /// Whether a write of `order` is not confirmed.
    pub(super) fn has(&self, order: OrderId) -> bool {
        self.marks.lock().orders.contains_key(&order)
    }

    /// Waits until every write of `shard` is confirmed, or has made its entries unreadable.
    pub(super) async fn none_of(&self, shard: ShardId) {
        loop {
            // Before the look: what is confirmed after it isn't missed.
            let fewer = self.fewer.notified();
            if !self.marks.lock().shards.contains_key(&shard) {
                return;
            }
            fewer.await;
        }
    }

    fn mark(&self, orders: &[(ShardId, OrderId)]) {
        let mut marks = self.marks.lock();
        for (shard, order) in orders {
            *marks.orders.entry(*order).or_default() += 1;
            *marks.shards.entry(*shard).or_default() += 1;
        }
    }

    fn clear(&self, orders: &[(ShardId, OrderId)]) {
        let mut marks = self.marks.lock();
        for (shard, order) in orders {
            less(&mut marks.orders, *order);
            less(&mut marks.shards, *shard);
        }
        drop(marks);
        self.fewer.notify_waiters();
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, of: K) {
    if let std::collections::hash_map::Entry::Occupied(mut count) = counts.entry(of) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
