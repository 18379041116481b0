//! Claims, in bulk, the free shards that fall to this replica. Leaves the bound against flapping to
//! [`super::budget`].

use std::sync::Arc;

use super::shared::Shared;
use crate::membership::{ClusterView, MembershipError, NodeId, ShardView};
use crate::names;
use crate::shard::{Epoch, ShardId};

impl Shared {
    /// Claims the shards that have no live owner and that `wanted` gives to this replica. Also claims the
    /// shards that are ours by the authority's word but aren't here: a claim whose answer was lost leaves
    /// those behind.
    pub(super) async fn claim_free(
        self: &Arc<Self>,
        view: &ClusterView,
        wanted: &[Option<NodeId>],
    ) -> Result<(), MembershipError> {
        // Read the shards that are being adopted before the owned ones: a shard whose adoption ends in
        // between is then among the owned. If it were in neither list, it would be claimed once more, and
        // the raised epoch would fence its work in flight.
        let taking: Vec<ShardId> = self.taking.lock().keys().copied().collect();
        let owned = self.parts.shards.owned();
        let free: Vec<(ShardId, Epoch)> = view
            .shards
            .iter()
            .zip(wanted)
            .filter(|(shard, heir)| self.falls_to_me(view, shard, heir.as_ref()))
            .map(|(shard, _)| (shard.shard, shard.epoch))
            .filter(|(shard, _)| {
                owned
                    .binary_search_by_key(shard, |(owned, _)| *owned)
                    .is_err()
            })
            .filter(|(shard, _)| !taking.contains(shard))
            .filter(|(shard, _)| !self.moving.lock().contains_key(shard))
            .collect();
        let free: Vec<_> = {
            let mut budget = self.budget.lock();
            free.into_iter()
                .filter(|(shard, _)| budget.allows(*shard))
                .collect()
        };
        if free.is_empty() {
            return Ok(());
        }
        let claimed = self
            .parts
            .membership
            .claim(&self.parts.node, self.parts.incarnation, &free)
            .await;
        // The next view tells who owns the shards that weren't claimed, and whether a claim whose answer
        // was lost succeeded.
        self.parts.directory.ask_refresh();
        let claimed = claimed?;
        {
            let mut budget = self.budget.lock();
            for claim in &claimed {
                budget.count(claim.shard);
            }
        }
        metrics::counter!(names::SHARD_CLAIMS).increment(claimed.len() as u64);
        tracing::info!(shards = claimed.len(), of = free.len(), "claimed");
        self.learn_mine(&claimed);
        self.parts.shards.adopt(&claimed, false).await;
        Ok(())
    }

    fn falls_to_me(&self, view: &ClusterView, shard: &ShardView, heir: Option<&NodeId>) -> bool {
        match &shard.owner {
            Some((node, incarnation)) if *node == self.parts.node => {
                // Either ours and not here, or claimed by an earlier incarnation of this node.
                *incarnation == self.parts.incarnation || heir == Some(&self.parts.node)
            }
            _ => view.live_owner(shard.shard).is_none() && heir == Some(&self.parts.node),
        }
    }
}
