//! Claims shards from the authority, and gives them up. The caller says which shards to claim.

use async_trait::async_trait;
use tokio::time::Instant;
use trackops_cluster::membership::MembershipError;
use trackops_cluster::{Epoch, ShardId};

use super::table::Ownership;
use crate::actors::cache_gate::{CacheGate, GenerationRaiser};
use crate::ports::journal::BoxError;

impl Ownership {
    /// Claims those of `shards` that can be claimed and still have the epoch given with them, and returns them.
    pub async fn claim(
        &self,
        shards: &[(ShardId, Epoch)],
        gate: &CacheGate,
    ) -> Result<Vec<ShardId>, MembershipError> {
        let claimed = self.authority.claim(shards).await?;
        for claim in &claimed {
            gate.adopt(claim.shard, claim.cache_generation);
            self.adopt(*claim);
        }
        Ok(claimed.into_iter().map(|claim| claim.shard).collect())
    }

    /// Gives up the lease and the shards, after the last append. If the authority hasn't answered at `end`,
    /// it learns of this when the lease runs out.
    pub async fn leave(&self, end: Instant) -> Result<(), MembershipError> {
        self.suspend_all();
        let left = tokio::time::timeout_at(end, self.authority.leave()).await;
        self.lease.end();
        left.unwrap_or_else(|late| Err(MembershipError::Unavailable(late.into())))
    }
}

#[async_trait]
impl GenerationRaiser for Ownership {
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError> {
        Ok(self.authority.raise_cache_generation(shards).await?)
    }
}
