//! Claiming what is free and falls to this replica, in bulk, within a bound against flapping. Offers
//! that are taken have such a bound too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::membership::{ClusterView, MembershipError, NodeId, ShardView};
use crate::names;
use crate::shard::{Epoch, ShardId};

const MINUTE: Duration = Duration::from_secs(60);

/// What may still be claimed, or taken, in this minute.
pub(super) struct Budget {
    per_minute_max: usize,
    claims: BTreeMap<ShardId, VecDeque<Instant>>,
}

impl Budget {
    pub(super) fn new(per_minute_max: usize) -> Self {
        Self {
            per_minute_max,
            claims: BTreeMap::new(),
        }
    }

    /// Whether `shard` may be claimed once more.
    pub(super) fn allows(&mut self, shard: ShardId) -> bool {
        let claims = self.claims.entry(shard).or_default();
        let now = Instant::now();
        while claims.front().is_some_and(|at| now - *at > MINUTE) {
            claims.pop_front();
        }
        claims.len() < self.per_minute_max
    }

    /// Only what was claimed counts: an authority that is away for a while must not cost the shard
    /// its owner for the rest of the minute.
    pub(super) fn count(&mut self, shard: ShardId) {
        let claims = self.claims.entry(shard).or_default();
        claims.push_back(Instant::now());
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn claims_of_a_shard_are_bounded_by_the_minute() {
        let mut budget = Budget::new(2);
        for _ in 0..2 {
            assert!(budget.allows(ShardId(1)));
            budget.count(ShardId(1));
        }
        assert!(!budget.allows(ShardId(1)), "a third claim in a minute");
        assert!(budget.allows(ShardId(2)), "another shard has its own bound");
        tokio::time::advance(MINUTE + Duration::from_secs(1)).await;
        assert!(budget.allows(ShardId(1)));
    }
}
