//! The desk where operations looks at the cluster, as the routes need it. Leaves where nodes, shards
//! and links are known to whoever implements it.

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
    /// Which life; rises with every start.
    pub incarnation: i64,
}

/// The cluster as this replica knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Who says this.
    pub me: NodeLife,
    /// How long ago the authority was asked; `None` before its first answer.
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
    /// Whether its shards move to other replicas, because somebody asked for that.
    pub draining: bool,
    /// What is left of its lease now; zero once it has ended, `None` where leases don't end.
    pub lease: Option<Duration>,
    /// How many shards are its own.
    pub shards: usize,
}

/// A link to another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// To whom.
    pub peer: NodeLife,
    /// Where it is reached.
    pub address: String,
    /// `up`, `connecting` or `down`.
    pub standing: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Calls that wait for an answer.
    pub calls_in_flight: usize,
    /// What went wrong last; it stays after the link is up again.
    pub last_error: Option<String>,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Which.
    pub shard: u16,
    /// The fencing token of the last claim.
    pub epoch: i64,
    /// Who made that claim and has not given the shard up since; it need not be alive.
    pub owner: Option<NodeLife>,
    /// Where the owner is reached; `None` if there is none or its lease has ended.
    pub address: Option<String>,
    /// The shard on this replica.
    pub here: LocalShard,
}

/// A shard as the replica that is asked has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalShard {
    /// `owned`, `held`, `drained`, `settling` or `free`.
    pub standing: &'static str,
    /// Orders of it that are in memory as actors.
    pub live_actors: usize,
}

/// The desk failed.
#[derive(Debug, Error)]
pub enum ClusterAdminError {
    /// This replica is not part of the cluster yet.
    #[error("this replica is starting")]
    Starting,
    /// The authority is away.
    #[error("the membership store is away")]
    Unavailable(#[source] BoxError),
    /// No node of that name.
    #[error("there is no node of that name")]
    UnknownNode,
}

/// Looks at the cluster, and drains nodes.
#[async_trait]
pub trait ClusterAdmin: Send + Sync + 'static {
    /// Nodes and links.
    fn cluster(&self) -> Result<ClusterState, ClusterAdminError>;

    /// Every shard, ascending.
    fn shards(&self) -> Result<Vec<ShardState>, ClusterAdminError>;

    /// Moves the shards of `node` to other replicas, and gives it none until it joins again. Returns
    /// whether that is new, as soon as all replicas know it; the shards may still be on their way.
    async fn drain(&self, node: &str) -> Result<bool, ClusterAdminError>;
}
