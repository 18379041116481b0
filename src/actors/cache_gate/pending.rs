//! The marks on orders whose cache write is not confirmed yet, by order and by shard. Also the bound on the
//! writes whose callers are answered before the confirmation.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;

/// Writes in flight whose callers are not made to wait. A cache answers within a millisecond, or the breaker
/// opens after fifty. With more in flight than this the cache is too slow, and the replica goes at its pace.
const AHEAD_MAX: usize = 16;

/// The orders whose writes are not confirmed yet.
pub(super) struct Pending {
    marks: Mutex<Marks>,
    /// Signalled when writes are confirmed.
    fewer: Notify,
    ahead: Semaphore,
}

#[derive(Default)]
struct Marks {
    orders: HashMap<OrderId, u32>,
    shards: HashMap<ShardId, u32>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            marks: Mutex::default(),
            fewer: Notify::new(),
            ahead: Semaphore::new(AHEAD_MAX),
        }
    }

    /// A permit to answer before a write is confirmed, if not too many writes are in flight.
    pub(super) fn ahead(&self) -> Option<SemaphorePermit<'_>> {
        self.ahead.try_acquire().ok()
    }

    /// Whether a write of `order` is not confirmed.
    pub(super) fn has(&self, order: OrderId) -> bool {
        self.marks.lock().orders.contains_key(&order)
    }

    /// Waits until every write of `shard` is confirmed, or has made its entries unreadable.
    pub(super) async fn none_of(&self, shard: ShardId) {
        loop {
            // Registered before the check, so that a confirmation after it isn't missed.
            let fewer = self.fewer.notified();
            if !self.marks.lock().shards.contains_key(&shard) {
                return;
            }
            fewer.await;
        }
    }

    pub(super) fn mark(&self, orders: &[(ShardId, OrderId)]) {
        let mut marks = self.marks.lock();
        for (shard, order) in orders {
            *marks.orders.entry(*order).or_default() += 1;
            *marks.shards.entry(*shard).or_default() += 1;
        }
    }

    pub(super) fn clear(&self, orders: &[(ShardId, OrderId)]) {
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
