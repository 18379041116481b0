//! The steps by which a shard's state changes. Each step wakes those who wait for a change. The caller deals
//! with the shard's actors and cache entries.

use trackops_cluster::membership::Claimed;
use trackops_cluster::{Epoch, ShardId};

use super::table::Ownership;
use crate::actors::tenure::LocalShardState;

impl Ownership {
    /// `claimed` is this replica's from now on and takes new work. What is in memory from before a break in
    /// its ownership no longer counts.
    pub fn adopt(&self, claimed: Claimed) {
        self.step(claimed.shard, |state| {
            (state.epoch() < claimed.epoch).then_some(LocalShardState::Owned(claimed.epoch))
        });
    }

    /// New work on `shard` waits from here on; `false` if the shard can't be held.
    pub fn hold(&self, shard: ShardId) -> bool {
        self.step(shard, |state| match state {
            LocalShardState::Owned(epoch) => Some(LocalShardState::Held(epoch)),
            _ => None,
        })
    }

    /// New work on `shard` goes on, if the shard is held and not yet drained.
    pub(in crate::actors) fn resume_held(&self, shard: ShardId) -> bool {
        self.step(shard, |state| match state {
            LocalShardState::Held(epoch) => Some(LocalShardState::Owned(epoch)),
            _ => None,
        })
    }

    /// Nothing is in flight on a held `shard`: it is neither written nor answered for any more.
    pub fn drained(&self, shard: ShardId) -> bool {
        self.step(shard, |state| match state {
            LocalShardState::Held(epoch) => Some(LocalShardState::Drained(epoch)),
            _ => None,
        })
    }

    /// `shard` belongs to another replica, or to none.
    pub fn release(&self, shard: ShardId) -> bool {
        self.step(shard, |state| {
            Some(LocalShardState::Free(state.owned_under()?))
        })
    }

    /// An append under `epoch` was refused. If `shard` is owned under that epoch, it is another replica's
    /// now. Returns whether it was.
    pub(in crate::actors) fn fenced(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.step(shard, |state| {
            (state.owned_under()? == epoch).then_some(LocalShardState::Free(epoch))
        })
    }

    /// Stops writing to `shard` until [`Self::settle`] has found the outcome of a lost append.
    pub(in crate::actors) fn suspend(&self, shard: ShardId) {
        self.step(shard, |state| match state {
            LocalShardState::Owned(epoch) | LocalShardState::Held(epoch) => {
                Some(LocalShardState::Settling(epoch))
            }
            _ => None,
        });
    }

    /// Frees every shard: the lease has ended for good.
    pub fn suspend_all(&self) {
        for shard in self.count().iter() {
            self.tenures.change(shard, |state| {
                Some(LocalShardState::Free(state.owned_under()?))
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
