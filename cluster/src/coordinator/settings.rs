//! The coordinator's bounds and timings, each with the reason for its default.

use std::time::Duration;

use crate::assignment::Sharing;

/// How the coordinator behaves.
#[derive(Clone, Copy, Debug)]
pub struct CoordinatorSettings {
    /// Which shards fall to this replica.
    pub sharing: Sharing,
    /// The coordinator looks at the view at least this often, even if nothing seems to have changed.
    pub look_every: Duration,
    /// A lease counts as ended this long after its last known end, because a renewal may be in flight.
    pub after_lease_end: Duration,
    /// The most claims of one shard in a minute. More is flapping, and each claim empties the shard's
    /// memory.
    pub claims_per_minute_max: usize,
    /// The most offers of one shard that this replica takes in a minute; more is flapping too. An offer
    /// costs less than a claim, and a refused shard stays with its owner. Offers have a bound of their
    /// own, so that moves never keep a shard without an owner from being claimed.
    ///
    /// If two replicas are restarted one after the other, each takes a shard twice: when the other
    /// leaves, and when it has come back itself. Given the length of a lease and of a start, that is four
    /// times a minute at the very most. The bound is twice that, for an operator who is in a hurry. An
    /// offer from a draining replica is always taken: it takes nothing back, so it can't flap.
    pub offers_per_minute_max: usize,
    /// Moves at one time. Each holds one shard's commands for a few milliseconds.
    pub moves_max: usize,
    /// How long the work in flight in a shard may take to end. If it takes longer, the move is put off.
    pub drain_max: Duration,
    /// The next owner must claim within this time; otherwise the old one settles the move by claiming
    /// again.
    pub offer_max: Duration,
    /// How long a shard is left alone after its move failed.
    pub rest: Duration,
    /// The pause between two attempts to settle a move while the authority is away.
    pub retry: Duration,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            sharing: Sharing::Even,
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
