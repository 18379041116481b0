//! The steps by which a shard's standing changes. Each wakes those who wait for a change; what has to happen
//! to the shard's actors and cache entries is the caller's to do.

use trackops_cluster::membership::Claimed;
use trackops_cluster::{Epoch, ShardId};

use super::table::Ownership;
use crate::actors::tenure::Standing;

impl Ownership {
    /// `claimed` is this replica's from now on and takes new work. Whatever is in memory from
    /// before a break in its ownership counts no more.
    pub fn adopt(&self, claimed: Claimed) {
        self.authority.learn(claimed.shard, claimed.epoch);
        self.step(claimed.shard, |standing| {
            (standing.epoch() < claimed.epoch).then_some(Standing::Owned(claimed.epoch))
        });
    }

    /// New work on `shard` waits from here on; `false` if it isn't there to be held.
    pub fn hold(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Owned(epoch) => Some(Standing::Held(epoch)),
            _ => None,
        })
    }

    /// New work on `shard` goes on, if it is held and not yet drained.
    pub(in crate::actors) fn resume_held(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Held(epoch) => Some(Standing::Owned(epoch)),
            _ => None,
        })
    }

    /// Nothing is in hand of a held `shard`: it is neither written nor answered for any more.
    pub fn drained(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Held(epoch) => Some(Standing::Drained(epoch)),
            _ => None,
        })
    }

    /// `shard` is another's, or nobody's.
    pub fn release(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| {
            Some(Standing::Free(standing.owned_under()?))
        })
    }

    /// An append under `epoch` was refused: if that is what `shard` is owned under, it is another's.
    /// Whether it was.
    pub(in crate::actors) fn fenced(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.step(shard, |standing| {
            (standing.owned_under()? == epoch).then_some(Standing::Free(epoch))
        })
    }

    /// Stops writing to `shard` until [`Self::settle`] has found out what became of a lost append.
    pub(in crate::actors) fn suspend(&self, shard: ShardId) {
        self.step(shard, |standing| match standing {
            Standing::Owned(epoch) | Standing::Held(epoch) => Some(Standing::Settling(epoch)),
            _ => None,
        });
    }

    /// Stops everything: the lease has ended for good.
    pub fn suspend_all(&self) {
        for shard in self.count().iter() {
            self.tenures.change(shard, |standing| {
                Some(Standing::Free(standing.owned_under()?))
            });
        }
        self.changes.tell();
    }

    fn step(&self, shard: ShardId, to: impl Fn(Standing) -> Option<Standing>) -> bool {
        let changed = self.tenures.change(shard, to).is_some();
        if changed {
            self.changes.tell();
        }
        changed
    }
}
