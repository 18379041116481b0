//! The port to the one authority over nodes and shards.

use async_trait::async_trait;
use thiserror::Error;

use crate::shard::{Epoch, ShardCount, ShardId};
use std::time::Duration;

/// The name under which a replica runs; taken by its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub String);

/// One life of a node, from joining to leaving or losing its lease; rises with every join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub i64);

/// A shard that has just been claimed, or claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub shard: ShardId,
    /// The fencing token from now on.
    pub epoch: Epoch,
    /// The generation that cached entries of this shard must carry to be believed.
    pub cache_generation: i64,
}

/// Why a call to the authority failed.
#[derive(Debug, Error)]
pub enum MembershipError {
    /// The authority can't be reached or didn't answer in time.
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
    /// This incarnation's lease has ended, or another took its place. It can't be renewed.
    #[error("the lease of this incarnation has ended")]
    Deposed,
}

/// Nodes, leases and ownership. Every time is the authority's.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// How many shards the store was made for.
    async fn shard_count(&self) -> Result<ShardCount, MembershipError>;

    /// Takes the lease of `node` as a new incarnation, reachable at `address`.
    async fn join(
        &self,
        node: &NodeId,
        address: &str,
        lease: Duration,
    ) -> Result<Incarnation, MembershipError>;

    /// Renews the lease. A lease that has ended can't be renewed: [`MembershipError::Deposed`].
    async fn renew(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<(), MembershipError>;

    /// Claims every one of `shards` that has no owner, whose owner's lease has ended, or that this
    /// incarnation owns already; each claimed one comes back with its raised epoch and raised cache
    /// generation. Waits for appends under way on those shards.
    async fn claim(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<Claimed>, MembershipError>;

    /// Raises the cache generation of owned shards after a cache write failed. Shards that are no
    /// longer this incarnation's are left out of the answer.
    async fn raise_cache_generation(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Result<Vec<(ShardId, i64)>, MembershipError>;

    /// Gives up the lease and every shard.
    async fn leave(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), MembershipError>;
}
