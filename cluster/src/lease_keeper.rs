//! Keeps the lease, and what this replica knows of the others: each renewal brings a view, and between
//! renewals one is fetched when the authority hints at a change or somebody asks. On a thread and a
//! runtime of its own, so that load on the others can't starve it; and a look that hangs takes neither
//! time nor connection from the renewals.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::directory::Directory;
use crate::lease::{Lease, LeaseTiming};
use crate::membership::{Incarnation, Membership, MembershipError, NodeId};
use crate::outage::{Outage, causes};

/// Between two looks at the authority, however many ask: requests that are lost while a shard moves
/// all ask at once, and what they want to know is the same.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a renewal may take once the lease has run out: there is none to be lost then, and where
/// the connection has to be made anew, that may take longer than a part of a short lease.
const LATE_RENEWAL_MAX: Duration = Duration::from_secs(2);

/// Between two attempts while the authority doesn't answer: it is noticed at once when it is back, which
/// everybody waits for then, and one that is gone refuses for next to nothing.
const RENEW_AGAIN: Duration = Duration::from_millis(100);

/// What the keeper last knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Renewed in time.
    Held,
    /// The authority doesn't answer; the lease may have run out, nobody has said so.
    Unreachable,
    /// The authority says that the lease has ended: this incarnation is over.
    Deposed,
}

/// Whose lease is kept, and where what is heard goes.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// How long the lease is, how often it is renewed.
    pub timing: LeaseTiming,
    /// What the replica answers under.
    pub lease: Lease,
    /// Fed with every view.
    pub directory: Arc<Directory>,
}

/// The two ways to the authority: neither waits for the other.
#[derive(Clone)]
pub struct MembershipConnections {
    /// For renewals alone.
    pub renewals: Arc<dyn Membership>,
    /// For looks, and for hints of changes.
    pub looks: Arc<dyn Membership>,
}

/// A running keeper. Dropping it stops the renewals; the lease then runs out by itself.
#[derive(Debug)]
pub struct LeaseKeeper {
    lease_state: watch::Receiver<LeaseState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Starts renewing. `ways` must not share a connection with each other or with anything that can be
    /// busy; they are made within the keeper's runtime. `sent_join` is when the joining call left: the lease counts
    /// from there.
    pub fn start(
        ways: impl FnOnce() -> MembershipConnections + Send + 'static,
        kept: Kept,
        sent_join: Instant,
    ) -> std::io::Result<Self> {
        kept.lease.renewed(sent_join, &kept.timing);
        let (standing_tx, lease_state) = watch::channel(LeaseState::Held);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("lease".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let ways = ways();
                    keep(&ways, &kept, &standing_tx, stopped).await;
                });
            })?;
        Ok(Self {
            lease_state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Watches what the keeper knows.
    pub fn lease_state(&self) -> watch::Receiver<LeaseState> {
        self.lease_state.clone()
    }

    /// Stops renewing; a call under way is given up.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
    }
}

/// What the thread runs: renews, looks and tells, until `stopped` or until the lease is over. For those
/// who bring a runtime of their own, as a simulation does; the joining call counts as the first
/// renewal, and is theirs to count.
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
        () = keep_looking(&*ways.looks, kept) => {}
    }
}

/// Renews until the authority says that the lease is over.
async fn renew(membership: &dyn Membership, kept: &Kept, lease_state: &watch::Sender<LeaseState>) {
    let every = kept.timing.renew_every;
    let mut outage = Outage::default();
    loop {
        let begun = Instant::now();
        let renewed = renew_once(membership, kept).await;
        let pause = match renewed {
            Ok(()) => {
                if let Some(away) = outage.over() {
                    tracing::info!(?away, "the lease is renewed again");
                }
                lease_state.send_replace(LeaseState::Held);
                every
            }
            Err(MembershipError::Unavailable(error)) => {
                if let Some(failures) = outage.failed() {
                    let cause = causes(&*error);
                    tracing::warn!(cause, failures, "the lease can't be renewed");
                }
                lease_state.send_replace(LeaseState::Unreachable);
                every.min(RENEW_AGAIN)
            }
            Err(MembershipError::Deposed | MembershipError::Taken { .. }) => {
                if let Some(away) = outage.over() {
                    tracing::info!(
                        ?away,
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

/// Looks whenever there is a reason to. Doesn't end.
async fn keep_looking(membership: &dyn Membership, kept: &Kept) {
    loop {
        worth_a_look(membership, kept, Instant::now() + LOOK_EVERY).await;
        look(membership, kept).await;
    }
}

/// Returns when there is a reason to look, not before `after`.
async fn worth_a_look(membership: &dyn Membership, kept: &Kept, after: Instant) {
    tokio::time::sleep_until(after).await;
    tokio::select! {
        biased;
        () = kept.directory.refresh_asked() => {}
        hint = membership.changed() => if let Err(error) = hint {
            tracing::debug!(%error, "no hints of changes");
            // The renewals bring views anyway; whoever asks meanwhile still gets one.
            let again = tokio::time::sleep(kept.timing.renew_every);
            tokio::select! {
                biased;
                () = kept.directory.refresh_asked() => {}
                () = again => {}
            }
        }
    }
}

async fn look(membership: &dyn Membership, kept: &Kept) {
    let asked = Instant::now();
    // The next renewal brings a view as well.
    match tokio::time::timeout(kept.timing.renew_every, membership.view()).await {
        Ok(Ok(view)) => kept.directory.update(view, asked),
        Ok(Err(error)) => tracing::debug!(%error, "can't look at the cluster"),
        Err(_) => tracing::debug!("looking at the cluster timed out"),
    }
}

async fn renew_once(membership: &dyn Membership, kept: &Kept) -> Result<(), MembershipError> {
    let sent = Instant::now();
    let length = kept.timing.length;
    // One answer that hangs must not cost the lease: there is time for another attempt or two.
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
