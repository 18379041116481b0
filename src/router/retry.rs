//! When a request to an order's owner is tried again: after a pause, or as soon as another owner is known, until
//! the caller's deadline. Leaves the attempts to [`super::forward`].

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use trackops_cluster::ShardId;
use trackops_cluster::backoff::Backoff;
use trackops_cluster::changes::ChangeReceiver;
use trackops_cluster::directory::{Directory, Owner};

use super::core::{ABANDONED, Router};
use crate::actors::ownership::Ownership;
use crate::codec::link::Answer;
use crate::model::orders_error::OrdersError;

/// How long an owner without a lease is asked again. A late renewal takes a fraction of a second, a takeover
/// one and a half seconds (`docs/benchmarks.md`). After twice that the authority is away, and waiting doesn't help.
const LAPSE_MAX: Duration = Duration::from_secs(3);

impl Router {
    /// The pauses between attempts on `shard`.
    pub(super) fn retry(&self, shard: ShardId, deadline: Instant) -> Retry<'_> {
        Retry {
            directory: &self.directory,
            ownership: self.node.ownership(),
            known: self.directory.owner(shard),
            changes: self.directory.changes(),
            own: self.node.ownership().changes(),
            abandoned: &self.abandoned,
            shard,
            backoff: Backoff::exact(self.settings.retry, self.settings.retry_most),
            deadline,
            lapse: None,
        }
    }
}

/// The pauses between attempts; see [`Router::retry`].
pub(super) struct Retry<'a> {
    directory: &'a Directory,
    ownership: &'a Ownership,
    /// The owner that the last attempt used.
    known: Option<Owner>,
    changes: ChangeReceiver,
    own: ChangeReceiver,
    abandoned: &'a CancellationToken,
    shard: ShardId,
    backoff: Backoff,
    deadline: Instant,
    /// Until when an owner without a lease is asked again; set at its first such answer.
    lapse: Option<Instant>,
}

impl Retry<'_> {
    /// Returns when another attempt makes sense; an error once the deadline has passed.
    pub async fn pause(&mut self) -> Result<(), OrdersError> {
        let now = Instant::now();
        if self.abandoned.is_cancelled() {
            return Err(ABANDONED);
        }
        if now >= self.deadline {
            return Err(OrdersError::NotOwner);
        }
        let owner = self.directory.owner(self.shard);
        if owner != self.known {
            // The attempt, or another caller, has learned of a new owner.
            self.known = owner;
            tokio::task::yield_now().await;
            return Ok(());
        }
        self.directory.ask_refresh();
        let until = (now + self.backoff.pause()).min(self.deadline);
        let state = self.ownership.state(self.shard);
        let is_other = || {
            self.directory.owner(self.shard) != self.known
                || self.ownership.state(self.shard) != state
        };
        // News of other shards doesn't shorten the pause. Both senders live as long as the router.
        tokio::select! {
            biased;
            () = self.abandoned.cancelled() => return Err(ABANDONED),
            _ = self.changes.wait_for(|_| is_other()) => {}
            _ = self.own.wait_for(|_| is_other()) => {}
            () = sleep_until(until) => {}
        }
        self.known = self.directory.owner(self.shard);
        Ok(())
    }

    /// Whether the owner has no lease, and it or a successor may soon have one.
    pub fn may_pass(&mut self, answer: &Answer) -> bool {
        matches!(answer, Answer::Failed(OrdersError::LeaseOver))
            && Instant::now() < *self.lapse.get_or_insert_with(|| Instant::now() + LAPSE_MAX)
    }
}
