//! The live orders of all shards, and the bound on them. A caller that needs room ends the actors that have
//! been idle longest, a few at a time. So room is made as fast as it is needed, and nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trackops_cluster::{ShardCount, ShardId, shard_of};
use trackops_domain::ids::OrderId;

use super::recency::{Recency, RecencyEntry};
use super::settings::Settings;
use super::slots::Slots;

/// Orders checked at most for each new one. An order that is found at work goes to the end of its list; fewer
/// orders are at work than there is room beyond the bound.
const LOOKS_MAX: u32 = 8;

/// Orders ended at most for each new one: one more than comes, so that an excess over the bound shrinks.
const ENDED_MAX: u32 = 2;

/// The live orders of a replica.
pub struct LiveOrders {
    count: ShardCount,
    slots: Box<[Arc<Slots>]>,
    /// Live actors, of all shards.
    live: Arc<AtomicU32>,
    /// Which orders have been idle longest.
    recency: Arc<Recency>,
    actors_max: usize,
    bytes_max: u64,
}

impl LiveOrders {
    /// No live order yet, of `count` shards.
    pub fn new(settings: &Settings, count: ShardCount) -> Arc<Self> {
        let live = Arc::new(AtomicU32::new(0));
        let slots = count
            .iter()
            .map(|_| Arc::new(Slots::new(Arc::clone(&live))));
        Arc::new(Self {
            count,
            slots: slots.collect(),
            live,
            recency: Recency::new(settings.passivate_live, settings.passivate_final),
            actors_max: settings.actors_max,
            bytes_max: settings.actors_bytes_max,
        })
    }

    /// The slots of `shard`.
    pub fn slots(&self, shard: ShardId) -> &Arc<Slots> {
        &self.slots[usize::from(shard.0)]
    }

    /// How many actors are live.
    pub fn actors(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// How many bytes the live orders weigh.
    pub fn bytes(&self) -> u64 {
        self.recency.bytes()
    }

    /// Enters `order` among those that have just had work.
    pub fn enter(&self, order: OrderId) -> RecencyEntry {
        self.recency.enter(order)
    }

    /// Whether the live orders have reached the bound in number or in bytes.
    pub fn is_full(&self) -> bool {
        self.actors() as usize >= self.actors_max || self.bytes() >= self.bytes_max
    }

    /// Whether the live orders exceed the bound in number or in bytes.
    pub fn is_over(&self) -> bool {
        self.actors() as usize > self.actors_max || self.bytes() > self.bytes_max
    }

    /// Whether the live orders have reached the hard limit: a quarter more than the bound.
    pub fn is_at_the_most(&self) -> bool {
        self.actors() as usize >= self.actors_max.saturating_mul(5) / 4
    }

    /// Makes room for one more order, if there is none.
    pub fn make_room(&self) {
        let mut ended = 0;
        for _ in 0..LOOKS_MAX {
            if ended == ENDED_MAX || !self.is_full() {
                return;
            }
            match self.end_idlest(false) {
                None => return,
                Some(was_idle) => ended += u32::from(was_idle),
            }
        }
    }

    /// Ends the order that has been idle longest; with `only_due`, only if it has been idle for longer than
    /// its limit. Returns whether it could be ended; `None` if there is no such order.
    pub fn end_idlest(&self, only_due: bool) -> Option<bool> {
        let order = self.recency.take_idlest(only_due)?;
        let shard = shard_of(order.0.as_bytes(), self.count);
        Some(self.slots(shard).end_idle(order))
    }

    /// Gives memory back where most of a shard's map is empty.
    pub fn shrink(&self) {
        for slots in &self.slots {
            slots.shrink();
        }
    }
}
