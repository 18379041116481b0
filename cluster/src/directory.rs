//! Who owns what, as this replica last knew: the authority's two tables, cached.
//!
//! It only tells where to send a request. The owner checks its lease before it answers, and its epoch is
//! checked when it writes, so an outdated entry costs a detour and nothing else. The lease keeper
//! ([`Directory::update`]) and the answers of other replicas ([`Directory::learn`]) update it. It never
//! goes back to an older epoch of a shard.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::changes::{ChangeReceiver, Changes};
use crate::membership::{ClusterView, Incarnation, NodeId, NodeView, ShardView};
use crate::shard::{Epoch, ShardCount, ShardId};

/// Who owns a shard, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub node: NodeId,
    /// Its incarnation: another incarnation of the same node is not the owner.
    pub incarnation: Incarnation,
    /// Where other replicas reach it.
    pub address: String,
    /// The epoch of its claim.
    pub epoch: Epoch,
}

/// See the module. Reading takes no lock.
#[derive(Debug)]
pub struct Directory {
    state: ArcSwap<State>,
    /// Held by an update, so that updates run one after the other.
    updating: Mutex<()>,
    changes: Changes,
    refresh: Notify,
}

#[derive(Debug)]
struct State {
    view: Arc<ClusterView>,
    /// By shard; `None` where no live owner is known.
    owners: Vec<Option<Owner>>,
    /// The instant before the newest view was asked for; `None` before the first.
    seen: Option<Instant>,
    /// The best guess of when the authority read its clock for that view.
    read: Instant,
}

impl Directory {
    /// A directory without nodes or owners.
    pub fn new(count: ShardCount) -> Arc<Self> {
        let free = |shard| ShardView {
            shard,
            epoch: Epoch(0),
            owner: None,
        };
        let view = ClusterView {
            nodes: Vec::new(),
            shards: count.iter().map(free).collect(),
            ..ClusterView::default()
        };
        let state = State {
            view: Arc::new(view),
            owners: vec![None; usize::from(count.get())],
            seen: None,
            read: Instant::now(),
        };
        Arc::new(Self {
            state: ArcSwap::from_pointee(state),
            updating: Mutex::new(()),
            changes: Changes::default(),
            refresh: Notify::new(),
        })
    }

    /// Takes in a view of the authority. `seen` is the instant before the view was asked for. Of two
    /// views the one with the later `seen` counts; a shard's higher epoch counts in any case.
    pub fn update(&self, view: ClusterView, seen: Instant) {
        let updating = self.updating.lock();
        let before = self.state.load_full();
        let is_newer = before.seen.is_none_or(|last| seen >= last);
        let newest = if is_newer {
            &view.nodes
        } else {
            &before.view.nodes
        };
        let mut shards = before.view.shards.clone();
        let mut owners = before.owners.clone();
        for told in view.shards {
            let position = usize::from(told.shard.0);
            let (Some(known), Some(owner)) = (shards.get_mut(position), owners.get_mut(position))
            else {
                continue;
            };
            if told.epoch > known.epoch || (told.epoch == known.epoch && is_newer) {
                *owner = owner_of(&told, &view.nodes);
                *known = told;
            } else if owner.as_ref().is_some_and(|owner| is_over(owner, newest)) {
                *owner = None;
            }
        }
        let now_ms = view.now_ms;
        let after = if is_newer {
            State {
                view: Arc::new(ClusterView {
                    nodes: view.nodes,
                    shards,
                    now_ms,
                }),
                owners,
                seen: Some(seen),
                // Half-way between question and answer, so the error is at most half of the round trip.
                read: seen + seen.elapsed() / 2,
            }
        } else {
            State {
                view: Arc::new(ClusterView {
                    nodes: before.view.nodes.clone(),
                    shards,
                    now_ms: before.view.now_ms,
                }),
                owners,
                seen: before.seen,
                read: before.read,
            }
        };
        self.put(&before, after);
        drop(updating);
    }

    /// Takes in that `owner` has claimed `shard`, as another replica says or as a move has shown. Ignores
    /// it unless its epoch is higher than the known one.
    pub fn learn(&self, shard: ShardId, owner: Owner) {
        let updating = self.updating.lock();
        let before = self.state.load_full();
        let position = usize::from(shard.0);
        let known = before.view.shards.get(position);
        if known.is_none_or(|known| owner.epoch <= known.epoch)
            || is_over(&owner, &before.view.nodes)
        {
            return;
        }
        let mut view = ClusterView::clone(&before.view);
        view.shards[position] = ShardView {
            shard,
            epoch: owner.epoch,
            owner: Some((owner.node.clone(), owner.incarnation)),
        };
        let mut owners = before.owners.clone();
        owners[position] = Some(owner);
        let after = State {
            view: Arc::new(view),
            owners,
            seen: before.seen,
            read: before.read,
        };
        self.put(&before, after);
        drop(updating);
    }

    /// The time by the authority's clock, in milliseconds since 1970: its last reading, plus the time
    /// that has passed since by this machine's monotonic clock. So a wrong wall clock on this machine
    /// doesn't matter. `None` before the authority's first answer. A new answer may set the time back by
    /// half a round trip.
    pub fn now_ms(&self) -> Option<i64> {
        let state = self.state.load();
        state.seen?;
        let passed = i64::try_from(state.read.elapsed().as_millis()).ok()?;
        state.view.now_ms.checked_add(passed)
    }

    /// The owner to ask about `shard`. `None` if it has no owner, or if its owner's lease had ended in
    /// the last view: then another replica is about to claim it.
    ///
    /// A lease that held in the last view counts as held until something newer is known. A replica that
    /// is cut off from the authority goes on sending to the owners that it knew, because they may well be
    /// alive.
    pub fn owner(&self, shard: ShardId) -> Option<Owner> {
        let state = self.state.load();
        state.owners.get(usize::from(shard.0))?.clone()
    }

    /// The whole view, with the shards learned since. The remaining times of leases count from
    /// [`Self::seen`].
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.state.load().view)
    }

    /// The instant before the newest view was asked for; `None` before the first answer.
    pub fn seen(&self) -> Option<Instant> {
        self.state.load().seen
    }

    /// Rises when an owner, an epoch, or a node has changed; not with every renewal.
    pub fn changes(&self) -> ChangeReceiver {
        self.changes.subscribe()
    }

    /// Asks the lease keeper for a fresh view soon. Requests that come together count as one.
    pub fn ask_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Returns once a caller has asked for a fresh view since the last call.
    pub async fn refresh_asked(&self) {
        self.refresh.notified().await;
    }

    fn put(&self, before: &State, after: State) {
        let is_change = before.owners != after.owners
            || before.view.shards != after.view.shards
            || !before
                .view
                .nodes
                .iter()
                .map(lasting)
                .eq(after.view.nodes.iter().map(lasting));
        self.state.store(Arc::new(after));
        if is_change {
            self.changes.tell();
        }
    }
}

/// The parts of a node that don't change with every view.
fn lasting(node: &NodeView) -> (&NodeId, Incarnation, &str, bool, bool) {
    let live = node.is_live();
    (
        &node.node,
        node.incarnation,
        &node.address,
        node.draining,
        live,
    )
}

fn owner_of(shard: &ShardView, nodes: &[NodeView]) -> Option<Owner> {
    let (node, incarnation) = shard.owner.as_ref()?;
    let found = nodes.iter().find(|view| view.node == *node)?;
    (found.incarnation == *incarnation && found.is_live()).then(|| Owner {
        node: node.clone(),
        incarnation: *incarnation,
        address: found.address.clone(),
        epoch: shard.epoch,
    })
}

/// Whether `nodes` shows that this incarnation of the owner has ended. A node that isn't listed may have
/// joined since.
fn is_over(owner: &Owner, nodes: &[NodeView]) -> bool {
    nodes.iter().any(|node| {
        node.node == owner.node
            && (node.incarnation > owner.incarnation
                || (node.incarnation == owner.incarnation && !node.is_live()))
    })
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
