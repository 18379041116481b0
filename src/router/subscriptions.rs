//! Keeps live subscriptions with the owners: how mirrors reach the owner, and what happens to mirrors and
//! feeds when shards change owners. When this replica's lease runs out, its shards count as lost at once,
//! although no one has told it so. Another replica may own them, and listeners here would miss its changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::ShardId;
use trackops_cluster::changes::ChangeReceiver;
use trackops_cluster::directory::Owner;
use trackops_cluster::link::Peer;
use trackops_domain::ids::OrderId;

use super::core::{Router, Target};
use super::forward::{By, Routed};
use crate::actors::tenure::Tenure;
use crate::codec::link::{Answer, Request, Subscriber};
use crate::live::upstream::{Upstream, UpstreamAnswer};
use crate::model::orders_error::OrdersError;
use crate::ports::live::ShardChanges;

#[async_trait]
impl Upstream for Router {
    async fn watch(&self, order: OrderId, number: u64) -> Result<UpstreamAnswer, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        if matches!(self.target(self.shard_of(order)), Target::Here) {
            return Ok(UpstreamAnswer::Here);
        }
        let subscriber = Subscriber {
            peer: self.me.clone(),
            number,
        };
        let request = Request::Watch(order, Some(subscriber));
        let Routed::Answered(answer, by) = self.route(order, request, deadline).await? else {
            return Ok(UpstreamAnswer::Here);
        };
        let (source, is_pushed) = match by {
            By::Here => return Ok(UpstreamAnswer::Here),
            By::Owner(source) => (source, true),
            By::Relayed(source) => (source, false),
        };
        match answer {
            Answer::Order(order) => Ok(UpstreamAnswer::There {
                order,
                source,
                is_pushed,
            }),
            _ => Err(OrdersError::UNEXPECTED_ANSWER),
        }
    }

    async fn unwatch(&self, order: OrderId, number: u64, source: &Peer) {
        self.send_unwatch(source, order, number).await;
    }
}

impl ShardChanges for Router {
    fn gained(&self, shards: &[ShardId]) {
        self.mirror
            .end(|order| shards.contains(&self.shard_of(order)));
    }
}

/// What was last seen of every shard, by the shard's number.
struct Seen {
    /// The tenure in which this replica owns it, while it answers for its shards.
    owned: Vec<Option<Tenure>>,
    owners: Vec<Option<Owner>>,
}

/// How the shards' owners changed between two checks.
#[derive(Debug, Default, PartialEq, Eq)]
struct OwnerChanges {
    /// Shards that another replica may have written: those that were lost, and those that were lost and came
    /// back.
    broken: BTreeSet<ShardId>,
    /// Shards that this replica no longer owns.
    lost: BTreeSet<ShardId>,
    /// Shards that this replica owns now.
    gained: BTreeSet<ShardId>,
    /// Shards with another owner than before.
    passed: BTreeSet<ShardId>,
}

impl OwnerChanges {
    fn between(before: &Seen, now: &Seen) -> Self {
        let mut turns = Self::default();
        for (shard, (was, is)) in (0..).map(ShardId).zip(before.owned.iter().zip(&now.owned)) {
            let is_other = was != is;
            if was.is_some() && is_other {
                turns.broken.insert(shard);
            }
            if was.is_some() && is.is_none() {
                turns.lost.insert(shard);
            }
            if is.is_some() && is_other {
                turns.gained.insert(shard);
            }
        }
        for (shard, (was, is)) in (0..)
            .map(ShardId)
            .zip(before.owners.iter().zip(&now.owners))
        {
            if was != is {
                turns.passed.insert(shard);
            }
        }
        turns
    }
}

/// Follows the directory, this replica's own shards and its lease until `stop`.
pub(super) async fn keep_up(
    router: Weak<Router>,
    mut directory: ChangeReceiver,
    mut own: ChangeReceiver,
    stop: CancellationToken,
) {
    let mut seen: Option<Seen> = None;
    loop {
        directory.borrow_and_update();
        own.borrow_and_update();
        let (ownership, held) = {
            let Some(router) = router.upgrade() else {
                return;
            };
            let ownership = Arc::clone(router.node.ownership());
            let held = ownership.lease_holds();
            let now = router.look();
            match &seen {
                Some(before) => router.follow(before, &now),
                // Listeners may have outlived the incarnation before this one.
                None => router.cover_watched(&now),
            }
            seen = Some(now);
            (ownership, held)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = ownership.lease_turned(held) => {}
            changed = directory.changed() => if changed.is_err() { return },
            changed = own.changed() => if changed.is_err() { return },
        }
    }
}

impl Router {
    fn look(&self) -> Seen {
        let (ownership, answers) = (self.node.ownership(), self.node.answers());
        let shards = || ownership.count().iter();
        let tenure = |shard| {
            let (state, tenure) = ownership.state(shard);
            state.owned_under().map(|_| tenure)
        };
        Seen {
            owned: shards()
                .map(|shard| tenure(shard).filter(|_| answers))
                .collect(),
            owners: shards().map(|shard| self.directory.owner(shard)).collect(),
        }
    }

    /// Makes sure that listeners here to orders of other replicas hear of changes again.
    fn cover_watched(&self, now: &Seen) {
        for order in self.hub.watched() {
            let shard = usize::from(self.shard_of(order).0);
            if now.owned.get(shard).is_none_or(Option::is_none) {
                self.mirror.cover(order);
            }
        }
    }

    fn follow(&self, before: &Seen, now: &Seen) {
        let turns = OwnerChanges::between(before, now);
        if !turns.broken.is_empty() {
            // The feeds end first, so that only this replica's listeners are left.
            self.feeds
                .end(|order| turns.broken.contains(&self.shard_of(order)));
        }
        if !turns.lost.is_empty() {
            for order in self.hub.watched() {
                if turns.lost.contains(&self.shard_of(order)) {
                    self.mirror.cover(order);
                }
            }
        }
        // Mirrors of shards gained from another owner have ended already. If the lease came back without such
        // a gain, the listeners hear this replica's own actors again.
        if !turns.gained.is_empty() {
            self.mirror
                .end(|order| turns.gained.contains(&self.shard_of(order)));
        }
        if !turns.passed.is_empty() {
            self.feeds.prune();
            self.mirror.disturb(|order, source| {
                let shard = self.shard_of(order);
                let owner = now.owners[usize::from(shard.0)].as_ref();
                turns.passed.contains(&shard)
                    && owner.is_none_or(|owner| {
                        owner.node != source.node || owner.incarnation != source.incarnation
                    })
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(owned: [Option<u32>; 4]) -> Seen {
        Seen {
            owned: owned.map(|tenure| tenure.map(Tenure)).into(),
            owners: vec![None; owned.len()],
        }
    }

    #[test]
    fn a_shard_that_was_lost_and_came_back_between_two_looks_is_broken_and_gained() {
        let before = seen([Some(1), Some(1), None, Some(3)]);
        let now = seen([Some(2), None, Some(1), Some(3)]);
        let expected = OwnerChanges {
            broken: [ShardId(0), ShardId(1)].into(),
            lost: [ShardId(1)].into(),
            gained: [ShardId(0), ShardId(2)].into(),
            passed: BTreeSet::new(),
        };
        assert_eq!(OwnerChanges::between(&before, &now), expected);
    }

    #[test]
    fn two_looks_at_the_same_say_nothing() {
        let looks = [Some(1), None, Some(2), None];
        assert_eq!(
            OwnerChanges::between(&seen(looks), &seen(looks)),
            OwnerChanges::default()
        );
    }
}
