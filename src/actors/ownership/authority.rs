//! Talks to the authority over shards for one incarnation of this replica. The caller decides what follows
//! for its own shards.

use std::sync::Arc;

use trackops_cluster::membership::{Claimed, Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{Epoch, ShardId};

/// The authority, as this incarnation talks to it.
pub(super) struct Authority {
    membership: Arc<dyn Membership>,
    node: NodeId,
    incarnation: Incarnation,
}

impl Authority {
    /// For `incarnation` of `node`.
    pub(super) fn new(
        membership: Arc<dyn Membership>,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            membership,
            node,
            incarnation,
        }
    }

    /// Claims those of `shards` that can be claimed and still have the epoch given with them.
    pub(super) async fn claim(
        &self,
        shards: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        self.membership
            .claim(&self.node, self.incarnation, shards)
            .await
    }

    /// Those of `shards` that belong to this incarnation, as the authority says, each with its epoch.
    pub(super) async fn still_ours(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, Epoch)>, MembershipError> {
        let view = self.membership.view().await?;
        let ours = |shard: &ShardId| {
            let shard = view.shard(*shard)?;
            let owner = shard.owner.as_ref()?;
            (owner.0 == self.node && owner.1 == self.incarnation)
                .then_some((shard.shard, shard.epoch))
        };
        Ok(shards.iter().filter_map(ours).collect())
    }

    /// Raises the cache generation of those of `shards` that are still owned, and returns the new ones.
    pub(super) async fn raise_cache_generation(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError> {
        self.membership
            .raise_cache_generation(&self.node, self.incarnation, shards)
            .await
    }

    /// Gives up the lease and the shards.
    pub(super) async fn leave(&self) -> Result<(), MembershipError> {
        self.membership.leave(&self.node, self.incarnation).await
    }
}
