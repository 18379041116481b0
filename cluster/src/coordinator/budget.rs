//! A bound on how often a shard is claimed, or taken, in a minute: against flapping. Leaves claiming to
//! [`super::claims`], and taking to [`super::offer`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::shard::ShardId;

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
