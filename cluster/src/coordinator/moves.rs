//! The owner's side of a hand-over: holds new commands, drains the shard, offers it and releases it. If
//! the offer's outcome is unknown, settles it with the authority. Leaves the taker's side to
//! [`super::offer`].

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::offer;
use super::shared::Shared;
use crate::directory::Owner;
use crate::link::Peer;
use crate::membership::{Claimed, ClusterView, MembershipError, NodeId};
use crate::names;
use crate::shard::{Epoch, ShardId};

impl Shared {
    /// Begins to move the owned shards that fall to another replica, a few at a time.
    pub(super) fn begin_moves(
        self: &Arc<Self>,
        view: &ClusterView,
        wanted: &[Option<NodeId>],
        tasks: &TaskTracker,
    ) {
        let now = Instant::now();
        self.resting.lock().retain(|_, until| *until > now);
        for (shard, epoch) in self.parts.shards.owned() {
            let mut moving = self.moving.lock();
            if moving.len() >= self.settings.moves_max {
                return;
            }
            let heir = wanted.get(usize::from(shard.0)).and_then(Option::as_ref);
            let Some(heir) = heir.filter(|heir| **heir != self.parts.node) else {
                continue;
            };
            // A view that is older than this replica's claim says nothing about who should have the
            // shard.
            let is_current = view.shard(shard).is_some_and(|seen| seen.epoch == epoch);
            let is_resting = self.resting.lock().contains_key(&shard);
            let Some(peer) = peer(view, heir) else {
                continue;
            };
            if !is_current || is_resting || moving.contains_key(&shard) {
                continue;
            }
            moving.insert(shard, heir.clone());
            let shared = Arc::clone(self);
            tasks.spawn(async move {
                let moved = shared.move_whatever_fails(shard, epoch, peer).await;
                if !moved {
                    let until = Instant::now() + shared.settings.rest;
                    shared.resting.lock().insert(shard, until);
                }
                shared.moving.lock().remove(&shard);
                shared.parts.directory.ask_refresh();
                shared.moved.notify_one();
                shared.looks.send_modify(|looks| *looks += 1);
            });
        }
    }

    /// Returns whether `to` owns the shard now. A panic during the move leaves the shard empty and
    /// closed, here or there. The move is then settled like an offer whose answer was lost, as often as
    /// that takes.
    async fn move_whatever_fails(self: &Arc<Self>, shard: ShardId, epoch: Epoch, to: Peer) -> bool {
        let coordinator = Arc::clone(self);
        let mut step = tokio::spawn(async move { coordinator.move_one(shard, epoch, &to).await });
        loop {
            let error = match step.await {
                Ok(moved) => return moved,
                Err(error) => error,
            };
            tracing::error!(%shard, %error, "a move failed: settling it");
            metrics::counter!(names::SHARD_MOVES, "outcome" => "failed").increment(1);
            if self.gives_up().await {
                return true;
            }
            let coordinator = Arc::clone(self);
            step = tokio::spawn(async move { coordinator.settle(shard, epoch).await });
        }
    }

    /// Drains the shard and offers it to `to`. Returns whether `to` owns it now.
    async fn move_one(&self, shard: ShardId, epoch: Epoch, to: &Peer) -> bool {
        let began = Instant::now();
        if !self
            .parts
            .shards
            .drain(shard, self.settings.drain_max)
            .await
        {
            tracing::warn!(%shard, to = to.node.0, "not drained in time: the move is put off");
            return false;
        }
        let deadline = Instant::now() + self.settings.offer_max;
        let offered = self
            .parts
            .links
            .call(to, offer::encode(shard, epoch), deadline)
            .await;
        match offered.as_deref().map(offer::decode_answer) {
            Ok(Some(taken)) => {
                self.parts.directory.learn(shard, owner(to, taken));
                self.parts.shards.release(shard).await;
                metrics::histogram!(names::SHARD_HANDOFF_DURATION).record(began.elapsed());
                metrics::counter!(names::SHARD_MOVES, "outcome" => "moved").increment(1);
                tracing::debug!(%shard, to = to.node.0, took = ?began.elapsed(), "moved");
                true
            }
            outcome => {
                let error = outcome.err();
                tracing::warn!(%shard, to = to.node.0, ?error, "offer not taken");
                metrics::counter!(names::SHARD_MOVES, "outcome" => "put off").increment(1);
                self.settle(shard, epoch).await
            }
        }
    }

    /// Settles an offer whose outcome is unknown: the peer may have taken it, or may still take it. A
    /// claim under the epoch of the offer succeeds only if nobody has taken the offer, and from then on
    /// nobody can. Returns whether the shard belongs to another replica.
    async fn settle(&self, shard: ShardId, mut epoch: Epoch) -> bool {
        let parts = &self.parts;
        loop {
            let claimed = parts
                .membership
                .claim(&parts.node, parts.incarnation, &[(shard, epoch)])
                .await;
            match claimed {
                Ok(claimed) if !claimed.is_empty() => {
                    self.learn_mine(&claimed);
                    parts.shards.resume(claimed[0]).await;
                    return false;
                }
                Ok(_) => match self.look_up(shard).await {
                    Ok(Some(mine)) => epoch = mine,
                    Ok(None) => {
                        parts.shards.release(shard).await;
                        return true;
                    }
                    Err(MembershipError::Deposed) => return true,
                    Err(_) if self.gives_up().await => return true,
                    Err(_) => {}
                },
                Err(MembershipError::Unavailable(error)) => {
                    tracing::warn!(%shard, %error, "can't settle a move yet");
                    if self.gives_up().await {
                        return true;
                    }
                }
                // This incarnation is over, and so is its ownership of the shards.
                Err(_) => return true,
            }
        }
    }

    /// Pauses before another attempt. Returns whether to give up, because the coordinator stops.
    async fn gives_up(&self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => true,
            () = tokio::time::sleep(self.settings.retry) => false,
        }
    }

    /// The epoch of `shard` if this replica owns it after all, because the answer to a claim was lost.
    async fn look_up(&self, shard: ShardId) -> Result<Option<Epoch>, MembershipError> {
        let sent = Instant::now();
        let view = self.parts.membership.view().await?;
        let me = (&self.parts.node, self.parts.incarnation);
        let mine = view.shard(shard).and_then(|seen| {
            let owner = seen.owner.as_ref()?;
            ((&owner.0, owner.1) == me).then_some(seen.epoch)
        });
        self.parts.directory.update(view, sent);
        Ok(mine)
    }

    /// Enters the new claims into the directory before the next view shows them.
    pub(super) fn learn_mine(&self, claimed: &[Claimed]) {
        let address = peer(&self.parts.directory.view(), &self.parts.node);
        for claim in claimed {
            let owner = Owner {
                node: self.parts.node.clone(),
                incarnation: self.parts.incarnation,
                address: address
                    .as_ref()
                    .map_or_else(String::new, |p| p.address.clone()),
                epoch: claim.epoch,
            };
            self.parts.directory.learn(claim.shard, owner);
        }
    }
}

fn owner(peer: &Peer, epoch: Epoch) -> Owner {
    Owner {
        node: peer.node.clone(),
        incarnation: peer.incarnation,
        address: peer.address.clone(),
        epoch,
    }
}

/// Where `node` is reached, if it is alive.
fn peer(view: &ClusterView, node: &NodeId) -> Option<Peer> {
    let found = view.nodes.iter().find(|n| n.node == *node && n.is_live())?;
    Some(Peer {
        node: found.node.clone(),
        incarnation: found.incarnation,
        address: found.address.clone(),
    })
}
