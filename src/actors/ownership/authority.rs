//! Talks to the authority over shards for one incarnation of this replica: claims shards, reads the cluster
//! view, and remembers the epochs that it learns. The caller decides what follows for its own shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

/// The authority, as this incarnation talks to it.
pub(super) struct Authority {
    membership: Arc<dyn Membership>,
    node: NodeId,
    incarnation: Incarnation,
    /// The last epoch known of each shard, also of other replicas' shards: a claim is compared with it.
    known: Box<[AtomicI64]>,
    /// A claim was refused or its outcome is unknown, so the known epochs may be old.
    must_look: AtomicBool,
}

impl Authority {
    /// Knows no epoch yet.
    pub(super) fn new(
        membership: Arc<dyn Membership>,
        node: NodeId,
        incarnation: Incarnation,
        count: ShardCount,
    ) -> Self {
        Self {
            membership,
            node,
            incarnation,
            known: count.iter().map(|_| AtomicI64::new(0)).collect(),
            must_look: AtomicBool::new(true),
        }
    }

    /// Learns an epoch of `shard`; an older one changes nothing.
    pub(super) fn learn(&self, shard: ShardId, epoch: Epoch) {
        if let Some(known) = self.known.get(usize::from(shard.0)) {
            known.fetch_max(epoch.0, Ordering::AcqRel);
        }
    }

    /// Claims those of `shards` that can be claimed, and returns them.
    pub(super) async fn claim(&self, shards: &[ShardId]) -> Result<Vec<Claimed>, MembershipError> {
        if self.must_look.swap(false, Ordering::AcqRel) {
            self.look().await?;
        }
        let wanted: Vec<(ShardId, Epoch)> = shards
            .iter()
            .filter_map(|shard| Some((*shard, self.known(*shard)?)))
            .collect();
        let claim = self
            .membership
            .claim(&self.node, self.incarnation, &wanted)
            .await;
        if claim
            .as_ref()
            .map_or(true, |claimed| claimed.len() < wanted.len())
        {
            self.must_look.store(true, Ordering::Release);
        }
        claim
    }

    /// Those of `shards` that have no living owner other than this replica, as the authority knows.
    pub(super) async fn without_live_owner(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<ShardId>, MembershipError> {
        let view = self.membership.view().await?;
        let is_others = |shard: &ShardId| {
            let owner = view.live_owner(*shard);
            owner.is_some_and(|o| o.node != self.node || o.incarnation != self.incarnation)
        };
        Ok(shards.iter().copied().filter(|s| !is_others(s)).collect())
    }

    /// Those of `shards` that belong to this incarnation, as the authority says.
    pub(super) async fn still_ours(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<ShardId>, MembershipError> {
        let view = self.look().await?;
        let ours = |shard: &ShardId| {
            let owner = view.shard(*shard)?.owner.as_ref()?;
            (owner.0 == self.node && owner.1 == self.incarnation).then_some(*shard)
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

    fn known(&self, shard: ShardId) -> Option<Epoch> {
        let known = self.known.get(usize::from(shard.0))?;
        Some(Epoch(known.load(Ordering::Acquire)))
    }

    /// Asks the authority for the cluster view, and learns every epoch in it.
    async fn look(&self) -> Result<ClusterView, MembershipError> {
        let view = self.membership.view().await;
        if view.is_err() {
            self.must_look.store(true, Ordering::Release);
        }
        let view = view?;
        for shard in &view.shards {
            self.learn(shard.shard, shard.epoch);
        }
        Ok(view)
    }
}
