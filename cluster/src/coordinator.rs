//! Keeps shard ownership as the assignment wants it: claims the shards that fall to this replica, moves
//! away those that fall to another, takes over from dead replicas, and drains. One task does one step
//! after the other; only moves run side by side, a few at a time.
//!
//! Leaves the entities to their host ([`Shards`]), which holds and empties a shard when it is told to.

mod budget;
mod claims;
mod moves;
mod offer;
mod parts;
mod settings;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::membership::{ClusterView, Incarnation, MembershipError, NodeId};
use crate::shard::ShardId;
use crate::vital::Vital;
use budget::Budget;
use shared::Shared;

pub use parts::{CoordinatorParts, Shards};
pub use settings::CoordinatorSettings;

/// A running coordinator.
pub struct Coordinator {
    shared: Arc<Shared>,
    vital: Vital,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Coordinator {
    /// Starts the coordinator's task. A lease keeper must feed the directory.
    pub fn start(parts: CoordinatorParts, settings: CoordinatorSettings) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            budget: Mutex::new(Budget::new(settings.claims_per_minute_max)),
            offers: Mutex::new(Budget::new(settings.offers_per_minute_max)),
            moving: Mutex::default(),
            taking: Mutex::default(),
            resting: Mutex::default(),
            looks: watch::channel(0).0,
            draining: AtomicBool::new(false),
            moved: Notify::new(),
            stop: stop.clone(),
            parts,
            settings,
        });
        let vital = Vital::default();
        let looking = run(Arc::clone(&shared), tasks.clone(), stop.clone());
        tasks.spawn(vital.guard("coordinator", &stop).over(looking));
        Arc::new(Self {
            shared,
            vital,
            stop,
            tasks,
        })
    }

    /// The tasks that the coordinator can't do without.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Waits until the first look has ended: the free shards that fall to this replica are then claimed.
    pub async fn first_claims_done(&self) {
        let mut looks = self.shared.looks.subscribe();
        // The sender lives as long as `self`.
        let _ = looks.wait_for(|looks| *looks > 0).await;
    }

    /// Moves every shard away, for `limit` at most. Returns whether this replica owns none any more. A
    /// shard stays if no other replica can take it; the caller then leaves while it still owns the shard.
    pub async fn drain(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let parts = &self.shared.parts;
        self.shared.draining.store(true, Ordering::Relaxed);
        let mut looks = self.shared.looks.subscribe();
        while let Err(error) = parts.membership.set_draining(&parts.node, true).await {
            tracing::warn!(%error, "not marked as draining");
            let is_over = Instant::now() + self.shared.settings.retry >= deadline;
            if is_over || !matches!(error, MembershipError::Unavailable(_)) {
                return parts.shards.owned().is_empty();
            }
            tokio::time::sleep(self.shared.settings.retry).await;
        }
        parts.directory.ask_refresh();
        loop {
            if parts.shards.owned().is_empty() && self.shared.moving.lock().is_empty() {
                return true;
            }
            let view = parts.directory.view();
            let is_marked = view
                .nodes
                .iter()
                .any(|n| n.node == parts.node && n.draining);
            if is_marked && !self.shared.has_heirs(&view) {
                return false;
            }
            let looked = tokio::time::timeout_at(deadline, looks.changed()).await;
            if looked.is_err() {
                return false;
            }
        }
    }

    /// Stops looking and taking shards. Waits until the moves under way are finished or settled. A move
    /// that can't be settled because the authority is away is given up: its shard stays empty here until
    /// the lease ends.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The answer to a request that another replica's coordinator has sent over the link.
    pub async fn answer(&self, from: &(NodeId, Incarnation), request: &[u8]) -> Bytes {
        offer::answer(&self.shared, from, request).await
    }
}

async fn run(shared: Arc<Shared>, tasks: TaskTracker, stop: CancellationToken) {
    let mut changes = shared.parts.directory.changes();
    loop {
        changes.mark_unchanged();
        if shared.parts.directory.seen().is_some() {
            let view = shared.parts.directory.view();
            shared.look(&view, &tasks).await;
            shared.looks.send_modify(|looks| *looks += 1);
        }
        let wake_at = shared.next_lease_end();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            seen = changes.changed() => if seen.is_err() { return },
            () = shared.moved.notified() => {}
            () = tokio::time::sleep_until(wake_at) => shared.parts.directory.ask_refresh(),
        }
    }
}

impl Shared {
    /// One look at the view: releases lost shards, claims free ones, begins moves.
    async fn look(self: &Arc<Self>, view: &ClusterView, tasks: &TaskTracker) {
        self.let_go(view).await;
        let wanted = self.settings.sharing.assign(view, &self.parts.node);
        if let Err(error) = self.claim_free(view, &wanted).await {
            match error {
                MembershipError::Deposed => return,
                error => tracing::warn!(%error, "can't claim shards yet"),
            }
        }
        self.begin_moves(view, &wanted, tasks);
    }

    /// Releases the shards that belong to another replica by the authority's word: this replica was
    /// fenced and hasn't noticed.
    async fn let_go(&self, view: &ClusterView) {
        let me = (&self.parts.node, self.parts.incarnation);
        // Read before the owned shards: a move that ends in between has released its shard.
        let moving: Vec<ShardId> = self.moving.lock().keys().copied().collect();
        for (shard, epoch) in self.parts.shards.owned() {
            let Some(seen) = view.shard(shard) else {
                continue;
            };
            let is_mine = seen.owner.as_ref().is_some_and(|(n, i)| (n, *i) == me);
            if seen.epoch > epoch && !is_mine && !moving.contains(&shard) {
                tracing::warn!(%shard, "another replica owns the shard: letting it go");
                self.parts.shards.release(shard).await;
            }
        }
    }

    /// Whether a live replica that isn't draining could take this replica's shards.
    fn has_heirs(&self, view: &ClusterView) -> bool {
        view.nodes
            .iter()
            .any(|n| n.node != self.parts.node && !n.draining && n.is_live())
    }

    /// When the next lease of another replica ends unless it is renewed. Never later than the longest
    /// time between two looks.
    fn next_lease_end(&self) -> Instant {
        let (now, directory) = (Instant::now(), &self.parts.directory);
        let latest = now + self.settings.look_every;
        let Some(seen) = directory.seen() else {
            return latest;
        };
        let view = directory.view();
        let others = view.nodes.iter().filter(|n| n.node != self.parts.node);
        // A lease without an end is beyond the clock's range, so it is left out.
        let ends = others.filter_map(|n| {
            seen.checked_add(n.remaining.saturating_add(self.settings.after_lease_end))
        });
        ends.filter(|end| *end > now)
            .min()
            .unwrap_or(latest)
            .min(latest)
    }
}
