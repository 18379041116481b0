//! The steps by which a shard's standing changes. Each wakes those who wait for a change; what has to happen
//! to the shard's actors and cache entries is the caller's to do.

use trackops_cluster::membership::Claimed;
use trackops_cluster::{Epoch, ShardId};

use super::table::Ownership;
use crate::actors::tenure::LocalShardState;

impl Ownership {
    /// `claimed` is this replica's from now on and takes new work. Whatever is in memory from
    /// before a break in its ownership counts no more.
    pub fn adopt(&self, claimed: Claimed) {
        self.authority.learn(claimed.shard, claimed.epoch);
        self.step(claimed.shard, |standing| {
            (standing.epoch() < claimed.epoch).then_some(LocalShardState::Owned(claimed.epoch))
        });
    }

    /// New work on `shard` waits from here on; `false` if it isn't there to be held.
    pub fn hold(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            LocalShardState::Owned(epoch) => Some(LocalShardState::Held(epoch)),
            _ => None,
        })
    }

    /// New work on `shard` goes on, if it is held and not yet drained.
    pub(in crate::actors) fn resume_held(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            LocalShardState::Held(epoch) => Some(LocalShardState::Owned(epoch)),
            _ => None,
        })
    }

    /// Nothing is in hand of a held `shard`: it is neither written nor answered for any more.
    pub fn drained(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            LocalShardState::Held(epoch) => Some(LocalShardState::Drained(epoch)),
            _ => None,
        })
    }

    /// `shard` is another's, or nobody's.
    pub fn release(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| {
            Some(LocalShardState::Free(standing.owned_under()?))
        })
    }

    /// An append under `epoch` was refused: if that is what `shard` is owned under, it is another's.
    /// Whether it was.
    pub(in crate::actors) fn fenced(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.step(shard, |standing| {
            (standing.owned_under()? == epoch).then_some(LocalShardState::Free(epoch))
        })
    }

    /// Stops writing to `shard` until [`Self::settle`] has found out what became of a lost append.
    pub(in crate::actors) fn suspend(&self, shard: ShardId) {
        self.step(shard, |standing| match standing {
            LocalShardState::Owned(epoch) | LocalShardState::Held(epoch) => {
                Some(LocalShardState::Settling(epoch))
            }
            _ => None,
        });
    }

    /// Stops everything: the lease has ended for good.
    pub fn suspend_all(&self) {
        for shard in self.count().iter() {
            self.tenures.change(shard, |standing| {
                Some(LocalShardState::Free(standing.owned_under()?))
            });
        }
        self.changes.tell();
    }

    fn step(
        &self,
        shard: ShardId,
        to: impl Fn(LocalShardState) -> Option<LocalShardState>,
    ) -> bool {
        let changed = self.tenures.change(shard, to).is_some();
        if changed {
            self.changes.tell();
        }
        changed
    }
}
