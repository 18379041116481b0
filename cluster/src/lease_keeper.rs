//! Renews the lease, and feeds the directory with views of the cluster. Each renewal brings a view;
//! between renewals the keeper fetches one when the authority hints at a change or a caller asks. It runs
//! on a thread and a runtime of its own, so that load elsewhere can't starve it. Renewals and views use
//! separate connections, so a view that hangs doesn't delay a renewal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::directory::Directory;
use crate::lease::{Lease, LeaseTiming};
use crate::membership::{Incarnation, Membership, MembershipError, NodeId};
use crate::outage::causes;
use crate::repeated::RepeatedLog;

/// The least time between two views, however many callers ask. Requests that fail while a shard moves all
/// ask at once, and one view answers them all.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a renewal may take once the lease has run out. There is no lease to lose then, and a new
/// connection may take longer than a part of a short lease.
const LATE_RENEWAL_MAX: Duration = Duration::from_secs(2);

/// The time between two attempts while the authority doesn't answer. Everybody waits for its return, so
/// it must be noticed at once; an attempt that is refused costs next to nothing.
const RENEW_AGAIN: Duration = Duration::from_millis(100);

/// The state of the lease as the lease keeper last saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Renewed in time.
    Held,
    /// The authority doesn't answer. The lease may have run out, but the authority hasn't said so.
    Unreachable,
    /// The authority says that the lease has ended: this incarnation is over.
    Deposed,
}

/// Whose lease the keeper renews, and what it updates.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// How long the lease is, and how often it is renewed.
    pub timing: LeaseTiming,
    /// The replica's own count of the lease, which guards its answers.
    pub lease: Lease,
    /// The directory that gets every view.
    pub directory: Arc<Directory>,
}

/// The two connections to the authority. Neither waits for the other.
#[derive(Clone)]
pub struct MembershipConnections {
    /// For renewals alone.
    pub renewals: Arc<dyn Membership>,
    /// For views, and for hints of changes.
    pub looks: Arc<dyn Membership>,
}

/// A running lease keeper. Dropping it stops the renewals; the lease then runs out by itself.
#[derive(Debug)]
pub struct LeaseKeeper {
    lease_state: watch::Receiver<LeaseState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Starts renewing. `ways` makes the connections, within the keeper's runtime. They must not share a
    /// connection with each other, or with anything that can be busy. `sent_join` is when the joining
    /// call was sent: the lease counts from there.
    pub fn start(
        ways: impl FnOnce() -> MembershipConnections + Send + 'static,
        kept: Kept,
        sent_join: Instant,
    ) -> std::io::Result<Self> {
        kept.lease.renewed(sent_join, &kept.timing);
        let (lease_state_tx, lease_state) = watch::channel(LeaseState::Held);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("lease".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let ways = ways();
                    keep(&ways, &kept, &lease_state_tx, stopped).await;
                });
            })?;
        Ok(Self {
            lease_state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// A receiver of the lease's state.
    pub fn lease_state(&self) -> watch::Receiver<LeaseState> {
        self.lease_state.clone()
    }

    /// Stops renewing. A call in flight is dropped.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
    }
}

/// The body of the keeper's thread: renews the lease and fetches views, until `stopped` or until the
/// lease is over. Public for callers with a runtime of their own, such as a simulation. The joining call
/// counts as the first renewal, and such a caller has to count it itself.
pub async fn keep(
    ways: &MembershipConnections,
    kept: &Kept,
    lease_state: &watch::Sender<LeaseState>,
    stopped: oneshot::Receiver<()>,
) {
    tokio::select! {
        biased;
        _ = stopped => {}
        () = renew(&*ways.renewals, kept, lease_state) => {}
        () = follow(&*ways.looks, &kept.directory, kept.timing.renew_every) => {}
    }
}

/// Renews until the authority says that the lease is over.
async fn renew(membership: &dyn Membership, kept: &Kept, lease_state: &watch::Sender<LeaseState>) {
    let every = kept.timing.renew_every;
    let failures = RepeatedLog::new();
    loop {
        let begun = Instant::now();
        let renewed = renew_once(membership, kept).await;
        let pause = match renewed {
            Ok(()) => {
                if let Some(recovery) = failures.recovered(Instant::now()) {
                    tracing::info!(away = ?recovery.lasted, "the lease is renewed again");
                }
                lease_state.send_replace(LeaseState::Held);
                every
            }
            Err(MembershipError::Unavailable(error)) => {
                if let Some(repeats) = failures.failed(Instant::now()) {
                    let (cause, failures) = (causes(&*error), repeats.count);
                    tracing::warn!(cause, failures, "the lease can't be renewed");
                }
                lease_state.send_replace(LeaseState::Unreachable);
                every.min(RENEW_AGAIN)
            }
            Err(MembershipError::Deposed | MembershipError::Taken { .. }) => {
                if let Some(recovery) = failures.recovered(Instant::now()) {
                    tracing::info!(
                        away = ?recovery.lasted,
                        "the membership store answers again: the lease has ended"
                    );
                }
                lease_state.send_replace(LeaseState::Deposed);
                return;
            }
        };
        tokio::time::sleep_until(begun + pause).await;
    }
}

/// Feeds `directory` with a view whenever the authority hints at a change or a caller asks for one. A view
/// may take as long as `limit`. Never returns.
async fn follow(membership: &dyn Membership, directory: &Directory, limit: Duration) {
    loop {
        worth_a_look(membership, directory, limit).await;
        look(membership, directory, limit).await;
    }
}

/// Returns when there is a reason to fetch a view, but not sooner than [`LOOK_EVERY`].
async fn worth_a_look(membership: &dyn Membership, directory: &Directory, limit: Duration) {
    tokio::time::sleep(LOOK_EVERY).await;
    tokio::select! {
        biased;
        () = directory.refresh_asked() => {}
        hint = membership.changed() => if let Err(error) = hint {
            tracing::debug!(%error, "no hints of changes");
            // The renewals bring views anyway. A caller that asks meanwhile still gets a fresh one.
            let again = tokio::time::sleep(limit);
            tokio::select! {
                biased;
                () = directory.refresh_asked() => {}
                () = again => {}
            }
        }
    }
}

async fn look(membership: &dyn Membership, directory: &Directory, limit: Duration) {
    let asked = Instant::now();
    // Where there is a lease, its next renewal brings a view as well.
    match tokio::time::timeout(limit, membership.view()).await {
        Ok(Ok(view)) => directory.update(view, asked),
        Ok(Err(error)) => tracing::debug!(%error, "can't look at the cluster"),
        Err(_) => tracing::debug!("looking at the cluster timed out"),
    }
}

async fn renew_once(membership: &dyn Membership, kept: &Kept) -> Result<(), MembershipError> {
    let sent = Instant::now();
    let length = kept.timing.length;
    // A call that hangs must not cost the lease: a third leaves time for another attempt or two.
    let limit = (length / 3).max(Duration::from_millis(100));
    let limit = if kept.lease.holds() {
        limit
    } else {
        limit.max(LATE_RENEWAL_MAX)
    };
    let renewal = membership.renew(&kept.node, kept.incarnation, length);
    match tokio::time::timeout(limit, renewal).await {
        Ok(Ok(view)) => {
            kept.lease.renewed(sent, &kept.timing);
            kept.directory.update(view, sent);
            Ok(())
        }
        Ok(Err(error @ (MembershipError::Deposed | MembershipError::Taken { .. }))) => {
            kept.lease.end();
            Err(error)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(MembershipError::Unavailable("no answer in time".into())),
    }
}
