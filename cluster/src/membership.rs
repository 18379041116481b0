//! The port to the one authority over nodes, leases and shard ownership. Leaves storing them to adapters.

use async_trait::async_trait;
use thiserror::Error;

use crate::shard::{Epoch, ShardCount, ShardId};
use std::time::Duration;

/// The name under which a replica runs. The lease of the name keeps others from using it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub String);

/// One life of a node, from joining to leaving or losing its lease. The number rises with every join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub i64);

/// A shard that has just been claimed, or claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The shard.
    pub shard: ShardId,
    /// The fencing token from now on.
    pub epoch: Epoch,
    /// The generation that cached entries of this shard must carry to be believed.
    pub cache_generation: i64,
}

/// A node as the authority sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub node: NodeId,
    /// Its current incarnation.
    pub incarnation: Incarnation,
    /// Where other replicas reach it.
    pub address: String,
    /// Whether its shards move to other replicas, because an operator or the node itself asked for that.
    pub draining: bool,
    /// What is left of its lease by the authority's clock; zero once it has ended,
    /// [`Duration::MAX`] where leases don't end.
    pub remaining: Duration,
}

impl NodeView {
    /// Whether its lease held when the authority looked.
    pub fn is_live(&self) -> bool {
        !self.remaining.is_zero()
    }
}

/// A shard as the authority sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// The shard.
    pub shard: ShardId,
    /// The fencing token of the last claim.
    pub epoch: Epoch,
    /// The node that made that claim and has not given the shard up since. It need not be alive.
    pub owner: Option<(NodeId, Incarnation)>,
}

/// All nodes and shards at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// By node id. Those that have left, or were found dead by a claim, are left out.
    pub nodes: Vec<NodeView>,
    /// Every shard, ascending.
    pub shards: Vec<ShardView>,
    /// The authority's clock, in milliseconds since 1970 (UTC).
    pub now_ms: i64,
}

impl ClusterView {
    /// The shard's entry; `None` beyond the count.
    pub fn shard(&self, shard: ShardId) -> Option<&ShardView> {
        self.shards.get(usize::from(shard.0))
    }

    /// The node in this incarnation, alive or not.
    pub fn node(&self, node: &NodeId, incarnation: Incarnation) -> Option<&NodeView> {
        self.nodes
            .iter()
            .find(|view| view.node == *node && view.incarnation == incarnation)
    }

    /// The owner of `shard`, if its lease holds.
    pub fn live_owner(&self, shard: ShardId) -> Option<&NodeView> {
        let (node, incarnation) = self.shard(shard)?.owner.as_ref()?;
        self.node(node, *incarnation).filter(|node| node.is_live())
    }
}

/// Why a call to the authority failed.
#[derive(Debug, Error)]
pub enum MembershipError {
    /// The authority can't be reached or didn't answer in time. A call that writes may have happened, or
    /// may still happen.
    #[error("the membership store is away")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The node id is leased to another incarnation that is alive.
    #[error("node id {node} is in use for another {remaining:?}")]
    Taken {
        /// The id.
        node: String,
        /// What is left of the other's lease.
        remaining: Duration,
    },
    /// This incarnation's lease has ended, or another incarnation has replaced it. The lease can't be
    /// renewed.
    #[error("the lease of this incarnation has ended")]
    Deposed,
}

/// Nodes, leases and ownership. Every time is by the authority's clock.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// How many shards the store was made for.
    async fn shard_count(&self) -> Result<ShardCount, MembershipError>;

    /// Takes the lease of `node` for a new incarnation, which is reachable at `address` and not draining.
    async fn join(
        &self,
        node: &NodeId,
        address: &str,
        lease: Duration,
    ) -> Result<Incarnation, MembershipError>;

    /// Renews the lease, and returns nodes and shards in the same round trip. A lease that has ended
    /// can't be renewed: [`MembershipError::Deposed`].
    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<ClusterView, MembershipError>;

    /// Returns nodes and shards, without renewing the lease.
    async fn view(&self) -> Result<ClusterView, MembershipError>;

    /// Claims each shard of `wanted` that still has the epoch given with it, if it has no owner, its
    /// owner's lease has ended, or this incarnation owns it already. Returns each claimed shard with its
    /// raised epoch and raised cache generation, and leaves the others out. Waits for appends in flight
    /// on those shards.
    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError>;

    /// The second half of a hand-over: takes those shards of `offered` that `from` still owns under the
    /// epochs given. The epoch rises, so that `from` is fenced. The cache generation does not, so `from`
    /// may offer only shards whose cached entries can be trusted. Waits for appends in flight, as
    /// [`Self::claim`] does.
    async fn take_over(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        from: (&NodeId, Incarnation),
        offered: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError>;

    /// Notes whether the shards of `node` should move to other replicas. An operator or the node itself
    /// asks for that. The mark holds until the node joins again. An unknown node is ignored.
    async fn set_draining(&self, node: &NodeId, draining: bool) -> Result<(), MembershipError>;

    /// Raises the cache generation of owned shards after a cache write failed. The answer leaves out
    /// shards that this incarnation no longer owns.
    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError>;

    /// Gives up the lease and all shards.
    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), MembershipError>;

    /// Returns when the authority hints that nodes or shards have changed since the last call. One hint
    /// is kept while nobody waits. A hint may be lost, and one may come without a change. On a node that
    /// runs alone it never returns. Dropping the future loses no hint.
    async fn changed(&self) -> Result<(), MembershipError>;
}
