//! A running replica: its parts, and its shards by number. The files beside this one hold what it does.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::lease_keeper::LeaseState;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;

use crate::actors::cache_gate::CacheGate;
use crate::actors::context::Context;
use crate::actors::ownership::Ownership;
use crate::actors::shard::Shard;
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
    pub(super) lease_state: Option<watch::Receiver<LeaseState>>,
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

    /// How long ago the lease ran out, if that is because the authority doesn't answer. `None` if the lease
    /// holds, or if this replica was told that its lease is over.
    pub(super) fn cut_off_for(&self) -> Option<Duration> {
        let lease_state = self.lease_state.as_ref()?;
        (*lease_state.borrow() == LeaseState::Unreachable)
            .then(|| self.context.ownership.lease_over_for())
    }
}
