//! Bounds how often a shard is claimed, or taken over, in a minute, to stop flapping. Leaves claiming to
//! [`super::claims`], and taking over to [`super::offer`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::shard::ShardId;

const MINUTE: Duration = Duration::from_secs(60);

/// The claims, or the take-overs, of each shard in the last minute.
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

    /// Counts a claim that succeeded. Failed attempts don't count: an authority that is away for a while
    /// must not leave the shard without an owner for the rest of the minute.
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
