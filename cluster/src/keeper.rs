//! Keeps the lease: a thread and a runtime of its own, so that load on the others can't starve it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::lease::{Lease, LeaseTiming};
use crate::membership::{Incarnation, Membership, MembershipError, NodeId};

/// What the keeper last knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Renewed in time.
    Held,
    /// The authority doesn't answer; the lease may have run out, nobody has said so.
    Unreachable,
    /// The authority says that the lease has ended: this incarnation is over.
    Deposed,
}

/// A running keeper. Dropping it stops the renewals; the lease then runs out by itself.
#[derive(Debug)]
pub struct Keeper {
    standing: watch::Receiver<Standing>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Keeper {
    /// Starts renewing `incarnation`. `membership` must not share a connection with anything that
    /// can be busy. `sent_join` is when the joining call left: the lease counts from there.
    pub fn start(
        membership: impl FnOnce() -> Arc<dyn Membership> + Send + 'static,
        node: NodeId,
        incarnation: Incarnation,
        timing: LeaseTiming,
        lease: Lease,
        sent_join: Instant,
    ) -> std::io::Result<Self> {
        lease.renewed(sent_join, &timing);
        let (standing_tx, standing) = watch::channel(Standing::Held);
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("lease".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let membership = membership();
                    let mut ticks = tokio::time::interval(timing.renew_every);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    loop {
                        tokio::select! {
                            biased;
                            _ = &mut stopped => return,
                            _ = ticks.tick() => {}
                        }
                        let standing =
                            renew_once(&*membership, &node, incarnation, &timing, &lease).await;
                        standing_tx.send_replace(standing);
                        if standing == Standing::Deposed {
                            return;
                        }
                    }
                });
            })?;
        Ok(Self {
            standing,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Watches what the keeper knows.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Stops renewing and waits for a renewal under way (bounded by its own time-out).
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
    }
}

async fn renew_once(
    membership: &dyn Membership,
    node: &NodeId,
    incarnation: Incarnation,
    timing: &LeaseTiming,
    lease: &Lease,
) -> Standing {
    let sent = Instant::now();
    // Longer than the lease itself makes no sense: the answer would be stale on arrival.
    let limit = timing.length.max(Duration::from_millis(100));
    match tokio::time::timeout(limit, membership.renew(node, incarnation, timing.length)).await {
        Ok(Ok(())) => {
            lease.renewed(sent, timing);
            Standing::Held
        }
        Ok(Err(MembershipError::Deposed | MembershipError::Taken { .. })) => {
            lease.end();
            Standing::Deposed
        }
        Ok(Err(MembershipError::Unavailable(error))) => {
            tracing::warn!(%error, "lease renewal failed");
            Standing::Unreachable
        }
        Err(_) => {
            tracing::warn!("lease renewal timed out");
            Standing::Unreachable
        }
    }
}
