//! A running replica: its parts, and its shards by number. The files beside this one hold what it does.

use std::sync::{Arc, OnceLock, Weak};

use ractor::ActorRef;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;

use crate::actors::cache_gate::CacheGate;
use crate::actors::context::Context;
use crate::actors::ownership::Ownership;
use crate::actors::shard::Shard;
use crate::actors::without_lease::WithoutLease;
use crate::ports::journal::Journal;
use crate::ports::live::ShardChanges;

/// A running replica.
pub struct Node {
    /// For the tasks that it starts.
    pub(super) itself: Weak<Self>,
    pub(super) context: Arc<Context>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) gate: Arc<CacheGate>,
    pub(super) shards: Arc<[Arc<Shard>]>,
    pub(super) without_lease: WithoutLease,
    pub(super) supervisor: ActorRef<()>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) vital: Vital,
    /// Told when shards are gained.
    pub(super) followers: OnceLock<Weak<dyn ShardChanges>>,
}

impl Node {
    /// The tasks that the replica can't do without.
    pub fn vital(&self) -> &Vital {
        &self.vital
    }

    /// This replica's shards and lease.
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.context.ownership
    }

    pub(super) fn shard_of(&self, order: OrderId) -> &Arc<Shard> {
        self.shard(self.context.ownership.shard_of(order))
    }

    pub(super) fn shard(&self, shard: ShardId) -> &Arc<Shard> {
        &self.shards[usize::from(shard.0)]
    }

    /// How many orders of `shard` are in memory; none for a number beyond the shard count.
    pub fn in_memory(&self, shard: ShardId) -> usize {
        let found = self.shards.get(usize::from(shard.0));
        found.map_or(0, |shard| shard.in_memory())
    }

    /// Whether this replica answers for its shards now: its lease holds, or it answers without one.
    pub fn answers(&self) -> bool {
        let ownership = &self.context.ownership;
        ownership.lease_holds() || self.without_lease.age(ownership).is_some()
    }
}
