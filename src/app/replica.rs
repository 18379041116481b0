//! Becoming a replica: takes the node's lease, and gives it up again.

use std::time::Duration;

use anyhow::bail;
use thiserror::Error;
use tokio::time::Instant;
use trackops_cluster::ShardCount;
use trackops_cluster::backoff::Backoff;
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::membership::{Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::outage::causes;

use super::lifecycle::Lifecycle;
use crate::actors::ownership::Ownership;
use crate::telemetry::repeated::RepeatedLog;

/// The pause between two attempts while the authority is away, doubled from the first value to the second.
/// Callers wait for a replica that comes back as a new incarnation.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long the authority may take to hear that a replica which hasn't started leaves.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// This incarnation is over: what it had in memory may be old.
#[derive(Debug, Error)]
#[error("this replica's lease has ended")]
pub(super) struct Deposed;

/// The number of shards, once the authority answers; `None` if it is time to stop. An error if it is not the
/// `configured` one: other replicas may be configured with that wrong number too, and then the replicas would
/// not agree on an order's owner.
pub(super) async fn shard_count(
    membership: &dyn Membership,
    configured: Option<ShardCount>,
    life: &Lifecycle,
) -> anyhow::Result<Option<ShardCount>> {
    let mut pause = Pause::new();
    loop {
        match membership.shard_count().await {
            Ok(count) if configured.is_some_and(|configured| configured != count) => bail!(
                "the orders database has {} shards, not the {} that are configured: the number is fixed \
                 when the database is first migrated (TRACKOPS_SHARDS)",
                count.get(),
                configured.map_or(0, ShardCount::get),
            ),
            Ok(count) => return Ok(Some(count)),
            Err(error) => pause.for_trouble(&error, "waiting for the membership store"),
        }
        if pause.is_ended(life).await {
            return Ok(None);
        }
    }
}

/// Takes the lease of `node`. If the id is in use, waits for that lease to end. If that lease is renewed
/// meanwhile, another replica is alive under this id, and this one must not start. `None` if it is time to
/// stop. The returned instant is from before the call that was granted.
pub(super) async fn join(
    membership: &dyn Membership,
    node: &NodeId,
    address: &str,
    timing: &LeaseTiming,
    life: &Lifecycle,
) -> anyhow::Result<Option<(Incarnation, Instant)>> {
    let mut in_use_until = None;
    let mut pause = Pause::new();
    loop {
        let sent = Instant::now();
        match membership.join(node, address, timing.length).await {
            Ok(incarnation) => return Ok(Some((incarnation, sent))),
            Err(MembershipError::Taken { remaining, .. }) => match in_use_until {
                None => {
                    tracing::warn!(
                        node = node.0,
                        ?remaining,
                        "the node id is in use: waiting for its lease to end"
                    );
                    in_use_until = Some(sent + remaining + timing.margin);
                }
                Some(until) if Instant::now() > until => {
                    bail!(
                        "node id {} is in use by a replica that is alive: give this one another (TRACKOPS_NODE_ID)",
                        node.0
                    )
                }
                Some(_) => {}
            },
            Err(error) => pause.for_trouble(&error, "can't join yet"),
        }
        if pause.is_ended(life).await {
            return Ok(None);
        }
    }
}

/// Waits until the authority's first view has arrived; `false` if it is time to stop.
pub(super) async fn heard(directory: &Directory, life: &Lifecycle) -> bool {
    let mut changes = directory.changes();
    let heard = changes.wait_for(|_| directory.seen().is_some());
    tokio::select! {
        heard = heard => heard.is_ok(),
        () = life.stopped() => false,
    }
}

/// Gives up the lease and the shards, if the authority answers.
pub(super) async fn leave(ownership: &Ownership) {
    if let Err(error) = ownership.leave(Instant::now() + LEAVE_MAX).await {
        tracing::warn!(%error, "lease not given up: it ends by itself");
    }
}

/// The pause before the next attempt.
struct Pause {
    backoff: Backoff,
    troubles: RepeatedLog,
}

impl Pause {
    fn new() -> Self {
        Self {
            backoff: Backoff::exact(RETRY.0, RETRY.1),
            troubles: RepeatedLog::new(),
        }
    }

    /// Logs the reason for the wait, if a log line is due.
    fn for_trouble(&self, error: &MembershipError, doing: &'static str) {
        if let Some(repeats) = self.troubles.failed(Instant::now()) {
            tracing::warn!(cause = causes(error), attempts = repeats.count, "{doing}");
        }
    }

    /// Waits; `true` if it is time to stop.
    async fn is_ended(&mut self, life: &Lifecycle) -> bool {
        tokio::select! {
            () = tokio::time::sleep(self.backoff.pause()) => false,
            () = life.stopped() => true,
        }
    }
}
