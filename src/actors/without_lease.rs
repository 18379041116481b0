//! What a replica does with its shards after its lease has run out and before the authority has said that this
//! incarnation is over.

use std::time::Duration;

use tokio::sync::watch;
use trackops_cluster::lease_keeper::LeaseState;

use super::ownership::Ownership;

/// See the module.
#[derive(Clone, Debug)]
pub enum WithoutLease {
    /// Other replicas take over by themselves, so they may own the shards by then: this one answers nothing
    /// from memory.
    Refuse,
    /// This replica has every shard. As long as the authority doesn't answer, nobody can write, so what is in
    /// memory is the newest: reads are answered from it, and say how old they may be.
    AnswerReads(watch::Receiver<LeaseState>),
}

impl WithoutLease {
    /// How old an answer from memory may be now, by how long ago the lease ran out. `None` if nothing may be
    /// answered.
    pub(super) fn age(&self, ownership: &Ownership) -> Option<Duration> {
        let Self::AnswerReads(lease_state) = self else {
            return None;
        };
        (*lease_state.borrow() == LeaseState::Unreachable).then(|| ownership.lease_over_for())
    }
}
