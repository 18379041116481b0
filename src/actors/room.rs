//! Room for one more live order: whoever needs some ends those that have been idle the longest, a few
//! at a time, so that it is made as fast as it is needed and nobody waits for it.

use std::sync::atomic::Ordering;

use super::shard::Context;

/// Orders looked at for one that is let in, at most. Those that are found at work go to the end of
/// their list; fewer are at work than there is room beyond the bound.
const LOOKS_MAX: u32 = 8;

/// Ended for one that is let in, at most: one more than comes, so that what is over the bound melts away.
const ENDED_MAX: u32 = 2;

impl Context {
    /// Whether the live orders are as many, or weigh as much, as they may.
    pub(super) fn is_full(&self) -> bool {
        let live = self.live.load(Ordering::Relaxed) as usize;
        live >= self.settings.actors_max || self.recency.bytes() >= self.settings.actors_bytes_max
    }

    /// Makes room for one more, if there is none.
    pub(super) fn make_room(&self) {
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

    /// Ends the order that has been idle the longest; `only_due`: if it has been so for longer than its
    /// limit. Whether it could be ended; `None` if there is none.
    pub(super) fn end_idlest(&self, only_due: bool) -> Option<bool> {
        let shards = self.shards.get()?.upgrade()?;
        let order = self.recency.take_idlest(only_due)?;
        let shard = self.ownership.shard_of(order);
        Some(shards[usize::from(shard.0)].end_idle(order))
    }
}
