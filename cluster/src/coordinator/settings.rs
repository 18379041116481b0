//! The coordinator's bounds and timings, each with the reason for its default.

use std::time::Duration;

/// How the coordinator behaves.
#[derive(Clone, Copy, Debug)]
pub struct CoordinatorSettings {
    /// A look is made at least this often, though nothing seemed to change.
    pub look_every: Duration,
    /// A lease is taken to have ended this long after its last known end: a renewal may be on its way.
    pub after_lease_end: Duration,
    /// Claims of one shard a minute at most: more is flapping, and each one empties the shard's memory.
    pub claims_per_minute_max: usize,
    /// Offers of one shard taken a minute at most, by this replica: more is flapping too. An offer
    /// costs less than a claim, and what is refused stays where it is. They have a bound of their own,
    /// so that moves never keep a shard without an owner from being claimed.
    ///
    /// Of two replicas that are restarted one after the other each takes a shard twice: when the other
    /// leaves, and when it has come back itself. A lease and a start make that four times a minute at
    /// the very most; the bound leaves as much again for somebody who is in a hurry. What a draining
    /// replica offers is always taken: it takes nothing back, so it can't flap.
    pub offers_per_minute_max: usize,
    /// Moves at one time. Each holds one shard's commands for a few milliseconds.
    pub moves_max: usize,
    /// What is in flight in a shard may take so long to end; then the move is put off.
    pub drain_max: Duration,
    /// The next owner claims within this, else the move is settled by claiming again.
    pub offer_max: Duration,
    /// After a move that failed its shard is left alone this long.
    pub rest: Duration,
    /// Between two attempts to settle while the authority is away.
    pub retry: Duration,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(1),
            after_lease_end: Duration::from_millis(20),
            claims_per_minute_max: 12,
            offers_per_minute_max: 8,
            moves_max: 4,
            drain_max: Duration::from_secs(1),
            offer_max: Duration::from_millis(500),
            rest: Duration::from_secs(3),
            retry: Duration::from_millis(100),
        }
    }
}
