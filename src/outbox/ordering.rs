//! Checks I5 in the relay: no version of an order is published for the first time after a higher one.
//! Remembers the orders that were published lately, in bounded memory. Leaves counting violations to
//! [`super::sending`].

use std::collections::HashMap;

use smallvec::SmallVec;
use trackops_domain::ids::OrderId;

use crate::model::outbox_row::OutboxEntry;

/// The last orders that are certainly remembered; up to twice as many are. An order's messages come
/// within minutes.
const ORDERS_MAX: usize = 16_384;
/// Messages remembered of one order: several times as many as the longest life of an order has.
const MESSAGES_MAX: usize = 32;

/// Version and ordinal of each message published, oldest first.
type Published = SmallVec<[(u32, u16); 4]>;

/// The messages published since a lane was last lost.
#[derive(Default)]
pub(super) struct OrderingCheck {
    young: HashMap<OrderId, Published>,
    old: HashMap<OrderId, Published>,
}

impl OrderingCheck {
    /// Returns the highest published version of the order of `entry`, if publishing `entry` now would be
    /// a first occurrence after that higher version. A repeat may come at any time.
    pub(super) fn overtaken(&self, entry: &OutboxEntry) -> Option<u32> {
        let published = self
            .young
            .get(&entry.order)
            .or_else(|| self.old.get(&entry.order))?;
        let highest = published.iter().map(|(version, _)| *version).max()?;
        let repeat = published.contains(&(entry.row.version, entry.row.ordinal));
        (highest > entry.row.version && !repeat).then_some(highest)
    }

    /// Notes that the bus has acknowledged `entry`.
    pub(super) fn published(&mut self, entry: &OutboxEntry) {
        let key = (entry.row.version, entry.row.ordinal);
        if self.young.len() >= ORDERS_MAX && !self.young.contains_key(&entry.order) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        let published = self
            .young
            .entry(entry.order)
            .or_insert_with(|| old.remove(&entry.order).unwrap_or_default());
        if !published.contains(&key) {
            if published.len() >= MESSAGES_MAX {
                published.remove(0);
            }
            published.push(key);
        }
    }

    /// Forgets everything, because another relay may have published since.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}
