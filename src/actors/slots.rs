//! The live orders of one shard: the map from an order to its actor. The shard decides what it lets in and
//! what it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use ractor::{ActorCell, ActorRef};
use trackops_domain::ids::OrderId;

use super::order::{Entry, OrderMessage};

/// The map's value for one order.
pub(super) enum Slot {
    /// The order has an actor.
    Live {
        entry: Arc<Entry>,
        actor: ActorRef<OrderMessage>,
    },
    /// The order's actor failed; the supervisor restarts it shortly.
    Restarting,
}

/// The slots of one shard. A slot changes only under its lock.
pub struct Slots {
    map: DashMap<OrderId, Slot>,
    /// The live actors of all shards.
    live: Arc<AtomicU32>,
}

impl Slots {
    /// An empty map, whose actors are counted in `live`. Few locks per shard, because there are many shards.
    pub fn new(live: Arc<AtomicU32>) -> Self {
        Self {
            map: DashMap::with_shard_amount(4),
            live,
        }
    }

    /// The slot of `order`, locked.
    pub(super) fn lock(&self, order: OrderId) -> MapEntry<'_, OrderId, Slot> {
        self.map.entry(order)
    }

    /// Whether `order` has a slot.
    pub fn contains(&self, order: OrderId) -> bool {
        self.map.contains_key(&order)
    }

    /// One more actor is live.
    pub(super) fn started(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// One less actor is live.
    pub(super) fn stopped(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// The live order's entry. Starts no actor.
    pub fn peek(&self, order: OrderId) -> Option<Arc<Entry>> {
        match &*self.map.get(&order)? {
            Slot::Live { entry, .. } => Some(Arc::clone(entry)),
            Slot::Restarting => None,
        }
    }

    /// How many orders are in memory, including those that are being restarted.
    pub fn in_memory(&self) -> usize {
        self.map.len()
    }

    /// Whether the order's actor is being restarted.
    pub fn is_restarting(&self, order: OrderId) -> bool {
        self.map
            .get(&order)
            .is_some_and(|slot| matches!(&*slot, Slot::Restarting))
    }

    /// Ends every actor.
    pub fn end_all(&self) {
        let mut ended = Vec::new();
        self.map.retain(|order, slot| {
            if let Slot::Live { actor, .. } = slot {
                ended.push((*order, actor.clone()));
                self.stopped();
            }
            false
        });
        stop_in_order(ended);
        self.map.shrink_to_fit();
    }

    /// Forgets every actor: they have ended with their supervisor.
    pub fn forget_all(&self) {
        self.map.retain(|_, slot| {
            if matches!(slot, Slot::Live { .. }) {
                self.stopped();
            }
            false
        });
    }

    /// Marks the order whose actor was `failed` as restarting. Returns the order.
    pub fn failed(&self, failed: &ActorCell) -> Option<OrderId> {
        let order = self.map.iter().find_map(|slot| match slot.value() {
            Slot::Live { actor, .. } if actor.get_id() == failed.get_id() => Some(*slot.key()),
            _ => None,
        })?;
        if let Some(mut slot) = self.map.get_mut(&order) {
            *slot = Slot::Restarting;
        }
        self.stopped();
        Some(order)
    }

    /// Removes the order's mark, so that the next message starts it.
    pub fn forget(&self, order: OrderId) {
        self.map
            .remove_if(&order, |_, slot| matches!(slot, Slot::Restarting));
    }

    /// Ends the actor of `order`, which was taken from the lists as the longest idle. Returns whether it
    /// ended. An idle actor handles nothing and has an empty mailbox, and a new actor would load the same
    /// state. So its slot is simply free from here on.
    pub fn end_idle(&self, order: OrderId) -> bool {
        let ended = self.map.remove_if(&order, |_, slot| {
            // Without an actor, the holder of the recency entry is about to drop it.
            let Slot::Live { entry, .. } = slot else {
                return false;
            };
            let is_idle = entry.waiting.load(Ordering::Acquire) == 0;
            if !is_idle {
                entry.place.put_back();
            }
            is_idle
        });
        let Some((_, Slot::Live { entry, actor })) = ended else {
            return false;
        };
        self.stopped();
        // Others may hold the entry for a moment longer, and with it the order's weight.
        entry.place.weigh(0);
        actor.stop(None);
        true
    }

    /// Gives memory back once most of the map is empty. Doing so whenever an actor ends would copy the map
    /// each time.
    pub fn shrink(&self) {
        if self.map.capacity() > 1_024 && self.map.capacity() / 4 > self.map.len() {
            self.map.shrink_to_fit();
        }
    }
}

/// The map's own order differs from run to run; the order in which actors end must not.
fn stop_in_order(mut ended: Vec<(OrderId, ActorRef<OrderMessage>)>) {
    ended.sort_unstable_by_key(|(order, _)| *order);
    for (_, actor) in ended {
        actor.stop(None);
    }
}
