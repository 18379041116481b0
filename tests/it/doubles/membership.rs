//! The authority over shards, in memory, sharing its epochs with the in-memory journal.

use std::time::Duration;

use async_trait::async_trait;
use trackops_cluster::membership::{Claimed, Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::journal::MemoryJournal;

/// One replica that owns what it claims.
pub struct MemoryMembership {
    /// Whose epochs it raises.
    pub journal: MemoryJournal,
    /// How many shards.
    pub count: ShardCount,
}

#[async_trait]
impl Membership for MemoryMembership {
    async fn shard_count(&self) -> Result<ShardCount, MembershipError> {
        Ok(self.count)
    }

    async fn join(&self, _: &NodeId, _: &str, _: Duration) -> Result<Incarnation, MembershipError> {
        Ok(Incarnation(1))
    }

    async fn renew(&self, _: &NodeId, _: Incarnation, _: Duration) -> Result<(), MembershipError> {
        Ok(())
    }

    async fn claim(
        &self,
        _: &NodeId,
        _: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<Claimed>, MembershipError> {
        let mut stored = self.journal.0.lock();
        let claimed = shards.iter().map(|shard| {
            let epoch = stored.epochs.entry(*shard).or_default();
            *epoch += 1;
            Claimed {
                shard: *shard,
                epoch: Epoch(*epoch),
                cache_generation: *epoch,
            }
        });
        Ok(claimed.collect())
    }

    async fn raise_cache_generation(
        &self,
        _: &NodeId,
        _: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        Ok(shards.iter().map(|shard| (*shard, 1_000)).collect())
    }

    async fn leave(&self, _: &NodeId, _: Incarnation) -> Result<(), MembershipError> {
        Ok(())
    }
}
