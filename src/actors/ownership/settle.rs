//! Settles appends of unknown outcome. Until that is done nothing is written to their shards;
//! [`Ownership::settled`] waits for it.

use std::time::Duration;

use tokio::time::Instant;
use trackops_cluster::membership::MembershipError;
use trackops_cluster::outage::causes;
use trackops_cluster::{Epoch, ShardId};

use super::table::Ownership;
use crate::actors::cache_gate::CacheGate;
use crate::actors::tenure::LocalShardState;

/// While the authority is away, a shard is claimed again no more often than this.
const SETTLE_RETRY: Duration = Duration::from_millis(250);

impl Ownership {
    /// Settles appends of unknown outcome on `shards`, which are suspended. It claims the shards again, which
    /// waits for the lost statement or fences it. It tries until that works or this incarnation is over.
    pub async fn settle(&self, shards: &[ShardId], gate: &CacheGate) {
        let known = shards
            .iter()
            .map(|shard| (*shard, self.state(*shard).0.epoch()));
        let mut left: Vec<(ShardId, Epoch)> = known.collect();
        loop {
            left.retain(|(shard, _)| self.is_settling(*shard));
            if left.is_empty() {
                break;
            }
            match self.settle_once(&left, gate).await {
                Ok(still) => left = still,
                Err(MembershipError::Unavailable(error)) => {
                    if let Some(repeats) = self.unsettled.failed(Instant::now()) {
                        let (error, tries) = (causes(&*error), repeats.count);
                        tracing::warn!(
                            error,
                            tries,
                            shards = left.len(),
                            "can't settle an append of unknown outcome yet"
                        );
                    }
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "an append of unknown outcome is the next owner's to settle");
                    break;
                }
            }
        }
        if let Some(outage) = self.unsettled.recovered(Instant::now()) {
            let lasted = outage.lasted;
            tracing::info!(?lasted, "appends of unknown outcome are settled");
        }
        // A shard that was not claimed again belongs to another replica.
        for shard in shards {
            if self.is_settling(*shard) {
                self.release(*shard);
            }
        }
    }

    /// Waits until `shard` may be written again, at most `limit`. Returns whether it may.
    pub async fn settled(&self, shard: ShardId, limit: Duration) -> bool {
        let mut changes = self.changes();
        let wait = changes.wait_for(|_| !self.is_settling(shard));
        let in_time = tokio::time::timeout(limit, wait).await;
        in_time.is_ok_and(|seen| seen.is_ok()) && self.epoch(shard).is_some()
    }

    /// Claims `shards` again, and returns those that are still to be claimed. A claim whose answer was lost
    /// may have raised an epoch, so a refusal doesn't mean yet that the shard is another replica's.
    async fn settle_once(
        &self,
        shards: &[(ShardId, Epoch)],
        gate: &CacheGate,
    ) -> Result<Vec<(ShardId, Epoch)>, MembershipError> {
        let claimed = self.claim(shards, gate).await?;
        let shards = shards.iter().map(|(shard, _)| *shard);
        let refused: Vec<ShardId> = shards.filter(|shard| !claimed.contains(shard)).collect();
        if refused.is_empty() {
            return Ok(Vec::new());
        }
        self.authority.still_ours(&refused).await
    }

    fn is_settling(&self, shard: ShardId) -> bool {
        matches!(self.state(shard).0, LocalShardState::Settling(_))
    }
}
