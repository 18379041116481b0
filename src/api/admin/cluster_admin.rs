//! What operations sees and does with the cluster, as the routes need it. Leaves to its implementation where
//! the state of nodes, shards and links comes from.

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::time::Timestamp;

use crate::ports::journal::BoxError;

/// One life of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLife {
    /// Its name.
    pub node: String,
    /// The number of this life; rises with every start.
    pub incarnation: i64,
}

/// The cluster as this replica knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// The replica that reports this state.
    pub me: NodeLife,
    /// Time since the authority was asked; `None` before its first answer.
    pub age: Option<Duration>,
    /// By node id.
    pub nodes: Vec<NodeState>,
    /// This replica's links to others, by node id.
    pub links: Vec<LinkReport>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Which.
    pub life: NodeLife,
    /// Where other replicas reach it.
    pub address: String,
    /// Whether its shards move to other replicas because an operator drained it.
    pub draining: bool,
    /// Time left of its lease; zero once the lease has ended, `None` where leases don't end.
    pub lease: Option<Duration>,
    /// How many shards it owns.
    pub shards: usize,
}

/// A link to another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// The replica at the other end.
    pub peer: NodeLife,
    /// The address of the other replica.
    pub address: String,
    /// The state of the link: `up`, `connecting` or `down`.
    pub status: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Calls that wait for an answer.
    pub calls_in_flight: usize,
    /// The last error; it is kept after the link is up again.
    pub last_error: Option<String>,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Which.
    pub shard: u16,
    /// The fencing token of the last claim.
    pub epoch: i64,
    /// The node that made the last claim and has not given the shard up since; it need not be alive.
    pub owner: Option<NodeLife>,
    /// The owner's address; `None` if there is no owner or its lease has ended.
    pub address: Option<String>,
    /// The state of the shard on this replica.
    pub here: LocalShard,
}

/// The state of a shard on the replica that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalShard {
    /// The state of the shard: `owned`, `held`, `drained`, `settling` or `free`.
    pub state: &'static str,
    /// Orders of it that are in memory as actors.
    pub live_actors: usize,
}

/// Why a request to [`ClusterAdmin`] failed.
#[derive(Debug, Error)]
pub enum ClusterAdminError {
    /// This replica is not part of the cluster yet.
    #[error("this replica is starting")]
    Starting,
    /// The authority can't be reached.
    #[error("the membership store is away")]
    Unavailable(#[source] BoxError),
    /// No node of that name.
    #[error("there is no node of that name")]
    UnknownNode,
}

/// Shows the state of the cluster, and drains nodes.
#[async_trait]
pub trait ClusterAdmin: Send + Sync + 'static {
    /// Nodes and links.
    fn cluster(&self) -> Result<ClusterState, ClusterAdminError>;

    /// Every shard, ascending.
    fn shards(&self) -> Result<Vec<ShardState>, ClusterAdminError>;

    /// Moves the shards of `node` to other replicas, and gives it none until it joins again. Returns as soon
    /// as all replicas know of the drain, while shards may still be moving; the result is `false` if the node
    /// was draining already.
    async fn drain(&self, node: &str) -> Result<bool, ClusterAdminError>;
}
