//! Keeps live subscriptions with the owners: the mirrors' way upstream, and what happens to mirrors
//! and feeds when shards change hands. When this replica's lease runs out its shards count as lost at
//! once, though nobody has said so: another may own them, and those who listen here would hear nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::ShardId;
use trackops_cluster::changes::Watcher;
use trackops_cluster::directory::Owner;
use trackops_cluster::link::Peer;
use trackops_domain::ids::OrderId;

use super::forward::{By, Routed};
use super::{Router, Target, UNEXPECTED};
use crate::codec::link::{Answer, Request, Subscriber};
use crate::live::mirror::{Upstream, Watched};
use crate::ports::live::ShardChanges;
use crate::ports::orders::OrdersError;

#[async_trait]
impl Upstream for Router {
    async fn watch(&self, order: OrderId, number: u64) -> Result<Watched, OrdersError> {
        let deadline = Instant::now() + self.settings.deadline;
        if matches!(self.target(self.shard_of(order)), Target::Here) {
            return Ok(Watched::Here);
        }
        let subscriber = Subscriber {
            peer: self.me.clone(),
            number,
        };
        let request = Request::Watch(order, Some(subscriber));
        let Routed { answer, by } = self.route(order, request, deadline).await?;
        let (source, is_pushed) = match by {
            By::Here => return Ok(Watched::Here),
            By::Owner(source) => (source, true),
            By::Relayed(source) => (source, false),
        };
        match answer {
            Answer::Order(order) => Ok(Watched::There {
                order,
                source,
                is_pushed,
            }),
            _ => Err(UNEXPECTED),
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

/// What was last seen of every shard, by its number.
struct Seen {
    /// While the lease holds.
    owned: Vec<bool>,
    owners: Vec<Option<Owner>>,
}

/// Follows the directory, this replica's own shards and its lease until `stop`.
pub(super) async fn keep_up(
    router: Weak<Router>,
    mut directory: Watcher,
    mut own: Watcher,
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
            let now = router.look(held);
            if let Some(before) = seen.replace(now) {
                router.follow(&before, seen.as_ref());
            }
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
    fn look(&self, held: bool) -> Seen {
        let ownership = self.node.ownership();
        let shards = || ownership.count().iter();
        Seen {
            owned: shards()
                .map(|shard| held && ownership.standing(shard).0.owned_under().is_some())
                .collect(),
            owners: shards().map(|shard| self.directory.owner(shard)).collect(),
        }
    }

    fn follow(&self, before: &Seen, now: Option<&Seen>) {
        let Some(now) = now else {
            return;
        };
        let shards = || self.node.ownership().count().iter();
        let at = |shard: &ShardId| usize::from(shard.0);
        let lost: BTreeSet<ShardId> = shards()
            .filter(|shard| before.owned[at(shard)] && !now.owned[at(shard)])
            .collect();
        if !lost.is_empty() {
            // First those who watch from afar, so that what is left listens here.
            self.feeds.end(|order| lost.contains(&self.shard_of(order)));
            for order in self.hub.watched() {
                if lost.contains(&self.shard_of(order)) {
                    self.mirror.cover(order);
                }
            }
        }
        // Those that came from another owner have their mirrors ended already; where the lease is back
        // without one, whoever listens hears the own actors again.
        let gained: BTreeSet<ShardId> = shards()
            .filter(|shard| !before.owned[at(shard)] && now.owned[at(shard)])
            .collect();
        if !gained.is_empty() {
            self.mirror
                .end(|order| gained.contains(&self.shard_of(order)));
        }
        let is_other = |shard: &ShardId| before.owners[at(shard)] != now.owners[at(shard)];
        let changed: BTreeSet<ShardId> = shards().filter(is_other).collect();
        if !changed.is_empty() {
            self.feeds.prune();
            self.mirror.disturb(|order, source| {
                let shard = self.shard_of(order);
                let owner = now.owners[at(&shard)].as_ref();
                changed.contains(&shard)
                    && owner.is_none_or(|owner| {
                        owner.node != source.node || owner.incarnation != source.incarnation
                    })
            });
        }
    }
}
