//! The cluster's directory, links and membership, in the form that the management routes need.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_cluster::directory::Directory;
use trackops_cluster::link::{LinkState, LinkStatus, Links};
use trackops_cluster::membership::{
    ClusterView, Incarnation, Membership, MembershipError, NodeId, NodeView,
};
use trackops_domain::time::Timestamp;

use crate::actors::Node;
use crate::api::admin::cluster_admin::{
    ClusterAdmin, ClusterAdminError, ClusterState, LinkReport, LocalShard, NodeLife, NodeState,
    ShardState,
};
use crate::ports::clock::Clock;

/// Gives a shard's state on this replica.
pub(super) type LocalShards = Box<dyn Fn(ShardId) -> LocalShard + Send + Sync>;

/// What the cluster admin reads.
pub(super) struct ClusterParts {
    /// This replica.
    pub me: (NodeId, Incarnation),
    pub directory: Arc<Directory>,
    /// Links to other replicas.
    pub links: Arc<dyn Links>,
    pub membership: Arc<dyn Membership>,
    pub local: LocalShards,
    pub clock: Arc<dyn Clock>,
}

/// The cluster admin. It has nothing to show until the replica has joined, because the management listener
/// opens before that.
#[derive(Default)]
pub(super) struct LateBoundClusterAdmin(ArcSwapOption<ClusterAdapter>);

struct ClusterAdapter(ClusterParts);

impl LateBoundClusterAdmin {
    /// Nothing to show yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Shows `parts` from now on: those of the present incarnation.
    pub fn set(&self, parts: ClusterParts) {
        self.0.store(Some(Arc::new(ClusterAdapter(parts))));
    }

    /// How many replicas are alive, this one included; 1 before it has joined.
    pub fn alive(&self) -> u32 {
        let parts = self.0.load();
        let count = parts.as_ref().map(|adapter| {
            let view = adapter.0.directory.view();
            view.nodes.iter().filter(|node| node.is_live()).count()
        });
        count.map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX).max(1))
    }

    /// Whether this replica can serve nobody: it owns nothing, and reaches no owner.
    pub fn is_cut_off(&self) -> bool {
        self.0
            .load()
            .as_ref()
            .is_some_and(|admin| admin.is_cut_off())
    }

    fn get(&self) -> Result<Arc<ClusterAdapter>, ClusterAdminError> {
        self.0.load_full().ok_or(ClusterAdminError::Starting)
    }
}

#[async_trait]
impl ClusterAdmin for LateBoundClusterAdmin {
    fn cluster(&self) -> Result<ClusterState, ClusterAdminError> {
        Ok(self.get()?.cluster(Instant::now()))
    }

    fn shards(&self) -> Result<Vec<ShardState>, ClusterAdminError> {
        Ok(self.get()?.shards())
    }

    async fn drain(&self, node: &str) -> Result<bool, ClusterAdminError> {
        self.get()?.drain(NodeId(node.to_owned())).await
    }
}

impl ClusterAdapter {
    fn cluster(&self, now: Instant) -> ClusterState {
        let view = self.0.directory.view();
        let age = self.0.directory.seen();
        let age = age.map(|seen| now.saturating_duration_since(seen));
        let nodes = view.nodes.iter();
        let links = self.0.links.states().into_iter();
        let wall = self.0.clock.now();
        ClusterState {
            me: life(&self.0.me.0, self.0.me.1),
            age,
            nodes: nodes
                .map(|node| node_state(node, &view, age.unwrap_or_default()))
                .collect(),
            links: links.map(|link| link_report(link, now, wall)).collect(),
        }
    }

    /// Counts only links to live replicas. A link that was never needed doesn't exist yet.
    fn is_cut_off(&self) -> bool {
        let view = self.0.directory.view();
        let is_mine = |owner: &(NodeId, Incarnation)| *owner == self.0.me;
        let mut owners = view.shards.iter().filter_map(|shard| shard.owner.as_ref());
        let links = self.0.links.states().into_iter();
        let mut links = links
            .filter(|link| {
                let node = view.node(&link.node, link.incarnation);
                node.is_some_and(NodeView::is_live)
            })
            .peekable();
        !owners.any(is_mine)
            && links.peek().is_some()
            && links.all(|link| link.status == LinkStatus::Down)
    }

    fn shards(&self) -> Vec<ShardState> {
        let view = self.0.directory.view();
        let state = |shard: &trackops_cluster::membership::ShardView| ShardState {
            shard: shard.shard.0,
            epoch: shard.epoch.0,
            owner: shard.owner.as_ref().map(|(node, inc)| life(node, *inc)),
            address: self
                .0
                .directory
                .owner(shard.shard)
                .map(|owner| owner.address),
            here: (self.0.local)(shard.shard),
        };
        view.shards.iter().map(state).collect()
    }

    /// Asks the authority itself, because the node may have joined a moment ago.
    async fn drain(&self, node: NodeId) -> Result<bool, ClusterAdminError> {
        let view = self.0.membership.view().await.map_err(away)?;
        let found = view.nodes.iter().find(|view| view.node == node);
        let is_new = !found.ok_or(ClusterAdminError::UnknownNode)?.draining;
        if is_new {
            let set = self.0.membership.set_draining(&node, true).await;
            set.map_err(away)?;
            self.0.directory.ask_refresh();
        }
        Ok(is_new)
    }
}

fn away(error: MembershipError) -> ClusterAdminError {
    ClusterAdminError::Unavailable(error.into())
}

fn life(node: &NodeId, incarnation: Incarnation) -> NodeLife {
    NodeLife {
        node: node.0.clone(),
        incarnation: incarnation.0,
    }
}

/// The lease was measured `age` ago.
fn node_state(node: &NodeView, view: &ClusterView, age: Duration) -> NodeState {
    let is_own = |owner: &(NodeId, Incarnation)| *owner == (node.node.clone(), node.incarnation);
    let owned = view.shards.iter().filter_map(|shard| shard.owner.as_ref());
    NodeState {
        life: life(&node.node, node.incarnation),
        address: node.address.clone(),
        draining: node.draining,
        lease: (node.remaining != Duration::MAX).then(|| node.remaining.saturating_sub(age)),
        shards: owned.filter(|owner| is_own(owner)).count(),
    }
}

fn link_report(link: LinkState, now: Instant, wall: Timestamp) -> LinkReport {
    let unchanged_for = now.saturating_duration_since(link.since);
    let unchanged_for = i64::try_from(unchanged_for.as_millis()).unwrap_or(i64::MAX);
    LinkReport {
        peer: life(&link.node, link.incarnation),
        address: link.address,
        status: link.status.as_str(),
        since: Timestamp(wall.0.saturating_sub(unchanged_for)),
        calls_in_flight: link.calls_in_flight,
        last_error: link.last_error.map(|error| error.to_string()),
    }
}

/// The state of the shards on `node`.
pub(super) fn local_shards(node: Arc<Node>) -> LocalShards {
    Box::new(move |shard| LocalShard {
        state: node.ownership().state(shard).0.as_str(),
        live_actors: node.in_memory(shard),
    })
}

#[cfg(test)]
#[path = "cluster_admin_tests.rs"]
mod tests;
