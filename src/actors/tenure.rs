//! The state of each shard at this replica, and the tenure in which it is owned. The ownership decides which
//! change of state is allowed.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use trackops_cluster::{Epoch, ShardCount, ShardId};

/// The state of a shard at this replica. Each state carries the last epoch known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalShardState {
    /// Another replica's, no replica's, or never known (epoch -1).
    Free(Epoch),
    /// This replica's; takes new work.
    Owned(Epoch),
    /// This replica's; the requests in flight are finished, new work waits.
    Held(Epoch),
    /// Held, and nothing is in flight: it may be another replica's at any moment.
    Drained(Epoch),
    /// This replica's; an append of unknown outcome is being settled.
    Settling(Epoch),
}

/// One unbroken ownership of a shard. What was loaded or decided in one tenure is worthless in the next,
/// because another replica may have written in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure(pub(crate) u32);

impl LocalShardState {
    /// The last epoch known.
    pub const fn epoch(self) -> Epoch {
        match self {
            Self::Free(epoch)
            | Self::Owned(epoch)
            | Self::Held(epoch)
            | Self::Drained(epoch)
            | Self::Settling(epoch) => epoch,
        }
    }

    /// The state's name on pages and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free(_) => "free",
            Self::Owned(_) => "owned",
            Self::Held(_) => "held",
            Self::Drained(_) => "drained",
            Self::Settling(_) => "settling",
        }
    }

    /// The epoch, unless the shard is free.
    pub const fn owned_under(self) -> Option<Epoch> {
        match self {
            Self::Free(_) => None,
            other => Some(other.epoch()),
        }
    }

    const fn pack(self) -> i64 {
        let tag = match self {
            Self::Free(_) => 0,
            Self::Owned(_) => 1,
            Self::Held(_) => 2,
            Self::Drained(_) => 3,
            Self::Settling(_) => 4,
        };
        // Epochs count claims, so an i64 can spare three bits.
        self.epoch().0 * 8 + tag
    }

    const fn unpack(packed: i64) -> Self {
        let epoch = Epoch(packed.div_euclid(8));
        match packed.rem_euclid(8) {
            1 => Self::Owned(epoch),
            2 => Self::Held(epoch),
            3 => Self::Drained(epoch),
            4 => Self::Settling(epoch),
            _ => Self::Free(epoch),
        }
    }
}

/// The state and the tenure of every shard.
pub(super) struct Tenures(Box<[(AtomicI64, AtomicU32)]>);

impl Tenures {
    /// All shards free.
    pub(super) fn new(count: ShardCount) -> Self {
        let free = LocalShardState::Free(Epoch(-1)).pack();
        let shards = count
            .iter()
            .map(|_| (AtomicI64::new(free), AtomicU32::new(0)));
        Self(shards.collect())
    }

    /// The shard's state, and a tenure that is at least as young. So a caller that gets an owned state with
    /// the tenure that it knows was within that tenure when the state was read.
    pub(super) fn get(&self, shard: ShardId) -> (LocalShardState, Tenure) {
        let Some((state, tenure)) = self.0.get(usize::from(shard.0)) else {
            return (LocalShardState::Free(Epoch(-1)), Tenure(0));
        };
        let state = LocalShardState::unpack(state.load(Ordering::SeqCst));
        (state, Tenure(tenure.load(Ordering::SeqCst)))
    }

    /// Changes a shard's state as `to` says. Returns the state before, if it was changed. A tenure begins
    /// where another replica may have written: when a free or drained shard becomes owned.
    pub(super) fn change(
        &self,
        shard: ShardId,
        to: impl Fn(LocalShardState) -> Option<LocalShardState>,
    ) -> Option<LocalShardState> {
        let (state, tenure) = self.0.get(usize::from(shard.0))?;
        let mut current = state.load(Ordering::SeqCst);
        loop {
            let before = LocalShardState::unpack(current);
            let after = to(before)?;
            let may_be_broken = matches!(
                before,
                LocalShardState::Free(_) | LocalShardState::Drained(_)
            );
            if may_be_broken && matches!(after, LocalShardState::Owned(_)) {
                // Raised before the state changes; a tenure that is never used does no harm.
                tenure.fetch_add(1, Ordering::SeqCst);
            }
            let exchanged =
                state.compare_exchange(current, after.pack(), Ordering::SeqCst, Ordering::SeqCst);
            match exchanged {
                Ok(_) => return Some(before),
                Err(now) => current = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_packing() {
        for epoch in [-1, 0, 1, 1 << 40] {
            let epoch = Epoch(epoch);
            for state in [
                LocalShardState::Free(epoch),
                LocalShardState::Owned(epoch),
                LocalShardState::Held(epoch),
                LocalShardState::Drained(epoch),
                LocalShardState::Settling(epoch),
            ] {
                assert_eq!(LocalShardState::unpack(state.pack()), state);
            }
        }
    }

    #[test]
    fn only_a_break_begins_a_tenure() {
        let tenures = Tenures::new(ShardCount::DEFAULT);
        let shard = ShardId(3);
        let mut seen = Vec::new();
        for state in [
            LocalShardState::Owned(Epoch(1)),
            LocalShardState::Settling(Epoch(1)),
            LocalShardState::Owned(Epoch(2)),
            LocalShardState::Free(Epoch(2)),
            LocalShardState::Owned(Epoch(4)),
            LocalShardState::Held(Epoch(4)),
            LocalShardState::Drained(Epoch(4)),
            LocalShardState::Owned(Epoch(5)),
        ] {
            tenures.change(shard, |_| Some(state));
            seen.push(tenures.get(shard).1.0);
        }
        assert_eq!(seen, [1, 1, 1, 1, 2, 2, 2, 3]);
    }
}
