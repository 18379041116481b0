//! Who owns what, as this replica last knew: the authority's two tables, cached.
//!
//! Only a guide to where a request should go. The owner itself checks its lease before it answers and
//! its epoch is checked when it writes, so an entry that is out of date costs a detour, nothing else.
//! It is fed by the keeper ([`Directory::update`]) and by what other replicas say
//! ([`Directory::learn`]); it never goes back to an older epoch of a shard.

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
    /// Its life: another life of the same node is not the owner.
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
    /// Updates one after the other.
    updating: Mutex<()>,
    changes: Changes,
    refresh: Notify,
}

#[derive(Debug)]
struct State {
    view: Arc<ClusterView>,
    /// By shard; `None` where nobody is to be asked.
    owners: Vec<Option<Owner>>,
    /// When the newest view was seen; `None` before the first.
    seen: Option<Instant>,
    /// When its clock was read, as near as can be told.
    read: Instant,
}

impl Directory {
    /// Knows nobody yet.
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

    /// Takes in what the authority said at `seen`, the instant before it was asked. Of two views the
    /// one seen later counts; a shard's higher epoch counts in any case.
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
                // Half-way between question and answer: at most half of that is wrong.
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

    /// Takes in that `owner` has claimed `shard`, as another replica says or a move has shown. Only a
    /// higher epoch than known is believed.
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

    /// What the authority's clock shows now, in milliseconds since 1970: its last word and what has
    /// passed since by this machine's monotonic clock, so that nobody's setting of a clock matters.
    /// `None` before the authority's first answer. A new answer may put it back by half of what a
    /// question and its answer take.
    pub fn now_ms(&self) -> Option<i64> {
        let state = self.state.load();
        state.seen?;
        let passed = i64::try_from(state.read.elapsed().as_millis()).ok()?;
        state.view.now_ms.checked_add(passed)
    }

    /// Whom to ask about `shard`. `None` if it is nobody's, or its owner's lease had ended when the
    /// authority last said something: then somebody is about to claim it.
    ///
    /// A lease that held then counts as held until something newer is known. A replica that is cut
    /// off from the authority goes on sending to the owners that it knew, who may well be alive.
    pub fn owner(&self, shard: ShardId) -> Option<Owner> {
        let state = self.state.load();
        state.owners.get(usize::from(shard.0))?.clone()
    }

    /// Everything that is known, shards as learned since included. What is left of leases counts from
    /// [`Self::seen`].
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.state.load().view)
    }

    /// When the authority was last asked; `None` before its first answer.
    pub fn seen(&self) -> Option<Instant> {
        self.state.load().seen
    }

    /// Rises when an owner, an epoch, or a node has changed; not with every renewal.
    pub fn changes(&self) -> ChangeReceiver {
        self.changes.subscribe()
    }

    /// Asks for a fresh view, soon. Many requests at once are one.
    pub fn ask_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Returns once somebody has asked for a fresh view since the last call.
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

/// What of a node doesn't change with every look.
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

/// Whether `nodes` shows that this life of the owner has ended. One that isn't there may have joined
/// since.
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
