//! Tells the relays after commits that there is work, at most every 25 ms. The append itself doesn't tell
//! them, because `NOTIFY` holds an instance-wide lock through its commit. What the relays do then is their
//! own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::vital::Vital;

use crate::ports::journal::Journal;

/// Between two announcements: as often as a relay looks while it finds something. The first announcement
/// after a pause is made at once.
const EVERY: Duration = Duration::from_millis(25);

/// A cheap signal to the announcing task.
#[derive(Clone, Debug, Default)]
pub struct Announcer(Arc<Notify>);

impl Announcer {
    /// Starts the task.
    pub fn start(
        journal: Arc<dyn Journal>,
        tasks: &TaskTracker,
        vital: &Vital,
        stop: CancellationToken,
    ) -> Self {
        let announcer = Self::default();
        let signal = Arc::clone(&announcer.0);
        let guard = vital.guard("announcer", &stop);
        tasks.spawn(guard.over(async move {
            loop {
                tokio::select! {
                    biased;
                    () = signal.notified() => {}
                    () = stop.cancelled() => return,
                }
                if let Err(error) = journal.announce().await {
                    // The relays look by themselves every two seconds.
                    tracing::debug!(%error, "announcement failed");
                }
                tokio::time::sleep(EVERY).await;
            }
        }));
        announcer
    }

    /// Says that there is something to publish.
    pub fn announce(&self) {
        self.0.notify_one();
    }
}
