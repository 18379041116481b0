//! Claiming what is free and falls to this replica, in bulk. The bound against flapping is in
//! [`super::budget`].

use std::sync::Arc;

use super::shared::Shared;
use crate::membership::{ClusterView, MembershipError, NodeId, ShardView};
use crate::names;
use crate::shard::{Epoch, ShardId};

impl Shared {
    /// Claims what nobody alive owns and `wanted` gives to this replica; also what the authority
    /// says is ours and isn't here, which a claim whose answer was lost leaves behind.
    pub(super) async fn claim_free(
        self: &Arc<Self>,
        view: &ClusterView,
        wanted: &[Option<NodeId>],
    ) -> Result<(), MembershipError> {
        // Before what is owned is looked at: what is no longer being taken up then is among that.
        // Claimed once more, it would fence what is under way under the epoch of its move.
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
        // What became of the others, or of a claim whose answer was lost, the next view tells.
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
                // Ours and not here, or an earlier life's.
                *incarnation == self.parts.incarnation || heir == Some(&self.parts.node)
            }
            _ => view.live_owner(shard.shard).is_none() && heir == Some(&self.parts.node),
        }
    }
}
