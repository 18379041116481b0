//! Gains and gives up shards: adopting, draining, resuming and releasing them. The coordinator decides which
//! shards move, and where to.

use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;
use trackops_cluster::coordinator::Shards;
use trackops_cluster::membership::Claimed;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::OrderId;

use super::running_node::Node;
use crate::model::orders_error::OrdersError;
use crate::ports::live::ShardChanges;

/// Watched orders woken concurrently after a claim: enough to fill a batch of loads.
const WAKES_AT_ONCE: usize = 64;
/// The pauses between attempts to wake a watched order: a second at most, because its listeners wait.
const WAKE_AGAIN: Backoff = Backoff::exact(Duration::from_millis(20), Duration::from_secs(1));

impl Node {
    /// Registers `followers` to be told when shards are gained. Only the first call counts.
    pub fn follow(&self, followers: Weak<dyn ShardChanges>) {
        let _ = self.followers.set(followers);
    }

    /// The claimed shards are this replica's from now on, under their new epochs. If they were `handed_over`,
    /// their cached entries are as good as under the last owner; otherwise the claim has raised their
    /// generations.
    pub fn adopt_shards(&self, claimed: &[Claimed], handed_over: bool) {
        for claim in claimed {
            self.gate.adopt(claim.shard, claim.cache_generation);
            // What is left from an earlier tenure no longer counts; this frees its memory.
            if self.ownership().epoch(claim.shard).is_none() {
                self.shard(claim.shard).clear();
            }
            self.ownership().adopt(*claim);
        }
        let shards: Vec<ShardId> = claimed.iter().map(|claim| claim.shard).collect();
        tracing::debug!(shards = shards.len(), handed_over, "shards adopted");
        if let Some(followers) = self.followers.get().and_then(Weak::upgrade) {
            followers.gained(&shards);
        }
        self.wake_watched_of(&shards);
    }

    /// Listeners may lack what an earlier owner has committed. Wakes their orders to tell them, as far as
    /// this replica owns the orders.
    pub fn wake_watched(&self) {
        let owned = self.ownership().owned();
        let owned: Vec<ShardId> = owned.into_iter().map(|(shard, _)| shard).collect();
        self.wake_watched_of(&owned);
    }

    fn wake_watched_of(&self, shards: &[ShardId]) {
        let watched = self.context.hub.watched();
        let watched: Vec<OrderId> = watched
            .into_iter()
            .filter(|order| shards.contains(&self.ownership().shard_of(*order)))
            .collect();
        if watched.is_empty() {
            return;
        }
        let Some(node) = self.itself.upgrade() else {
            return;
        };
        self.tasks.spawn(async move {
            let all = stream::iter(watched)
                .for_each_concurrent(WAKES_AT_ONCE, |order| node.wake_until_done(order));
            tokio::select! {
                biased;
                () = node.stop.cancelled() => {}
                () = all => {}
            }
        });
    }

    /// Tries until the order has told its listeners, nobody listens any more, or the order belongs to another
    /// replica.
    async fn wake_until_done(&self, order: OrderId) {
        let mut backoff = WAKE_AGAIN;
        while self.context.hub.is_watched(order) {
            let (reply, answer) = oneshot::channel();
            let woken = match self.shard_of(order).wake(order, Some(reply)) {
                Ok(()) => answer.await.unwrap_or(Err(OrdersError::Restarted)),
                Err(error) => Err(error),
            };
            match woken {
                Ok(()) | Err(OrdersError::NotOwner | OrdersError::Quarantined) => return,
                Err(error) => tracing::debug!(%order, %error, "watched order not woken yet"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Holds new work on `shard` and finishes the requests in flight. `true`: the shard is held, nothing is
    /// in flight, its actors have ended, and it is neither written nor answered for any more. `false` if that
    /// took longer than `limit`: nothing has changed.
    pub async fn drain_shard(&self, shard: ShardId, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        if !self.ownership().hold(shard) {
            return false;
        }
        let mut held = HeldShard {
            node: self,
            shard,
            is_kept: false,
        };
        let in_time = tokio::time::timeout_at(deadline, async {
            self.shard(shard).hands.empty().await;
            self.gate.hand_over(shard).await
        });
        if in_time.await != Ok(true) || !self.ownership().drained(shard) {
            return false;
        }
        held.is_kept = true;
        self.shard(shard).clear();
        true
    }

    /// The move of a drained shard didn't happen: the shard was claimed again, or is still this replica's.
    pub fn resume_shard(&self, claimed: Claimed) {
        self.adopt_shards(&[claimed], false);
    }

    /// `shard` is another replica's now. Forgets its actors and failures; requests that waited for it go on
    /// to the new owner.
    pub fn release_shard(&self, shard: ShardId) {
        self.ownership().release(shard);
        self.shard(shard).clear();
        self.gate.release(shard);
    }
}

/// A hold that ends when it is dropped, also if draining is given up half way.
struct HeldShard<'a> {
    node: &'a Node,
    shard: ShardId,
    is_kept: bool,
}

impl Drop for HeldShard<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.node.ownership().resume_held(self.shard);
        }
    }
}

#[async_trait]
impl Shards for Node {
    fn owned(&self) -> Vec<(ShardId, Epoch)> {
        self.ownership().owned()
    }

    async fn adopt(&self, claimed: &[Claimed], handed_over: bool) {
        self.adopt_shards(claimed, handed_over);
    }

    async fn drain(&self, shard: ShardId, limit: Duration) -> bool {
        self.drain_shard(shard, limit).await
    }

    async fn resume(&self, claimed: Claimed) {
        self.resume_shard(claimed);
    }

    async fn release(&self, shard: ShardId) {
        self.release_shard(shard);
    }
}
