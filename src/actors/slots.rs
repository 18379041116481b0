//! The live orders of one shard: the map from an order to its actor. Who is let in, and what is sent, is the
//! shard's to decide.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use ractor::{ActorCell, ActorRef};
use trackops_domain::ids::OrderId;

use super::order::{Entry, OrderMessage};

/// An order's place in the map.
pub(super) enum Slot {
    /// It has an actor.
    Live {
        entry: Arc<Entry>,
        actor: ActorRef<OrderMessage>,
    },
    /// Its actor failed; the supervisor starts it again shortly.
    Restarting,
}

/// The slots of one shard. Whoever changes one holds its lock.
pub struct Slots {
    map: DashMap<OrderId, Slot>,
    /// The live actors of all shards.
    live: Arc<AtomicU32>,
}

impl Slots {
    /// Empty ones, whose actors are counted in `live`. Few locks per shard: there are many shards.
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

    /// The live order's entry, without waking anything.
    pub fn peek(&self, order: OrderId) -> Option<Arc<Entry>> {
        match &*self.map.get(&order)? {
            Slot::Live { entry, .. } => Some(Arc::clone(entry)),
            Slot::Restarting => None,
        }
    }

    /// How many orders are in memory, those that are being started again too.
    pub fn in_memory(&self) -> usize {
        self.map.len()
    }

    /// Whether the order's actor is being started again.
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

    /// Marks the order whose actor was `failed` as restarting; which it was.
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

    /// Takes the order's mark away: the next message starts it.
    pub fn forget(&self, order: OrderId) {
        self.map
            .remove_if(&order, |_, slot| matches!(slot, Slot::Restarting));
    }

    /// Ends the actor of `order`, which was taken from the lists as the longest idle; whether it did.
    /// An idle actor has nothing in hand and nothing in its mailbox, and a new one would load what
    /// it knows: so its slot is simply free from here on.
    pub fn end_idle(&self, order: OrderId) -> bool {
        let ended = self.map.remove_if(&order, |_, slot| {
            // Without an actor, whoever has the place taken is about to give it up.
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
        // Others may hold the entry for a moment longer, and its place with it.
        entry.place.weigh(0);
        actor.stop(None);
        true
    }

    /// Gives memory back once most of the map is empty; whenever an actor ends would copy it each time.
    pub fn shrink(&self) {
        if self.map.capacity() > 1_024 && self.map.capacity() / 4 > self.map.len() {
            self.map.shrink_to_fit();
        }
    }
}

/// The map's own order differs from run to run; that in which actors end must not.
fn stop_in_order(mut ended: Vec<(OrderId, ActorRef<OrderMessage>)>) {
    ended.sort_unstable_by_key(|(order, _)| *order);
    for (_, actor) in ended {
        actor.stop(None);
    }
}
