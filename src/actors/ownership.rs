//! Which shards this replica owns, under which epoch, and whether its lease still holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use trackops_cluster::lease::Lease;
use trackops_cluster::membership::{Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId, shard_of};
use trackops_domain::ids::OrderId;

use super::cache_gate::{CacheGate, GenerationRaiser};
use crate::ports::journal::BoxError;

/// No epoch: not owned, or a statement of unknown outcome is being settled.
const NONE: i64 = -1;

/// A look at the authority is repeated no faster than this while it is away.
const SETTLE_RETRY: Duration = Duration::from_millis(250);

/// The replica's shards.
pub struct Ownership {
    membership: Arc<dyn Membership>,
    node: NodeId,
    incarnation: Incarnation,
    lease: Lease,
    count: ShardCount,
    epochs: Box<[AtomicI64]>,
    /// Rises whenever an epoch changes, for those who wait for a shard to be settled.
    changes: watch::Sender<u64>,
}

impl Ownership {
    /// Owns nothing yet.
    pub fn new(
        membership: Arc<dyn Membership>,
        node: NodeId,
        incarnation: Incarnation,
        lease: Lease,
        count: ShardCount,
    ) -> Arc<Self> {
        let epochs = count.iter().map(|_| AtomicI64::new(NONE)).collect();
        Arc::new(Self {
            membership,
            node,
            incarnation,
            lease,
            count,
            epochs,
            changes: watch::channel(0).0,
        })
    }

    /// How many shards there are.
    pub fn count(&self) -> ShardCount {
        self.count
    }

    /// The shard of `order`.
    pub fn shard_of(&self, order: OrderId) -> ShardId {
        shard_of(order.0.as_bytes(), self.count)
    }

    /// The epoch under which `shard` may be written now.
    pub fn epoch(&self, shard: ShardId) -> Option<Epoch> {
        let epoch = self
            .epochs
            .get(usize::from(shard.0))?
            .load(Ordering::Acquire);
        (epoch != NONE).then_some(Epoch(epoch))
    }

    /// Whether this replica may answer from memory now.
    pub fn lease_holds(&self) -> bool {
        self.lease.holds()
    }

    /// How long ago the lease ran out; zero while it holds.
    pub fn lease_over_for(&self) -> Duration {
        self.lease.over_for()
    }

    /// The shards owned now, ascending.
    pub fn owned(&self) -> Vec<ShardId> {
        self.count
            .iter()
            .filter(|shard| self.epoch(*shard).is_some())
            .collect()
    }

    /// Claims what can be claimed of `shards`; returns what was.
    pub async fn claim(
        &self,
        shards: &[ShardId],
        gate: &CacheGate,
    ) -> Result<Vec<ShardId>, MembershipError> {
        let claimed = self
            .membership
            .claim(&self.node, self.incarnation, shards)
            .await?;
        for claim in &claimed {
            gate.adopt(claim.shard, claim.cache_generation);
            if let Some(epoch) = self.epochs.get(usize::from(claim.shard.0)) {
                epoch.store(claim.epoch.0, Ordering::Release);
            }
        }
        self.changes.send_modify(|count| *count += 1);
        Ok(claimed.into_iter().map(|claim| claim.shard).collect())
    }

    /// Stops writing to `shard` at once: it isn't ours any more, or its state is being settled.
    pub fn suspend(&self, shard: ShardId) {
        if let Some(epoch) = self.epochs.get(usize::from(shard.0)) {
            epoch.store(NONE, Ordering::Release);
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Stops everything: the lease has ended for good.
    pub fn suspend_all(&self) {
        for epoch in &self.epochs {
            epoch.store(NONE, Ordering::Release);
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Settles appends of unknown outcome on `shards`, which are suspended: claims them again, which
    /// waits for the lost statement or fences it. Tries until it works or this incarnation is over.
    pub async fn settle(&self, shards: &[ShardId], gate: &CacheGate) {
        loop {
            match self.claim(shards, gate).await {
                Ok(_) => return,
                Err(MembershipError::Unavailable(error)) => {
                    tracing::warn!(%error, shards = shards.len(), "can't settle an append of unknown outcome yet");
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "an append of unknown outcome is the next owner's to settle");
                    return;
                }
            }
        }
    }

    /// Waits until `shard` may be written again, at most `limit`; whether it may.
    pub async fn settled(&self, shard: ShardId, limit: Duration) -> bool {
        let mut changes = self.changes.subscribe();
        let wait = changes.wait_for(|_| self.epoch(shard).is_some());
        tokio::time::timeout(limit, wait)
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// Gives up lease and shards, after the last append.
    pub async fn leave(&self) -> Result<(), MembershipError> {
        self.suspend_all();
        let left = self.membership.leave(&self.node, self.incarnation).await;
        self.lease.end();
        left
    }
}

#[async_trait]
impl GenerationRaiser for Ownership {
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError> {
        Ok(self
            .membership
            .raise_cache_generation(&self.node, self.incarnation, shards)
            .await?)
    }
}
