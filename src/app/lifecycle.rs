//! The life of a process: until a signal or a failure, then a graceful stop within a limit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::vital::Vital;

/// Limit of a graceful stop of a role.
pub(super) const ROLE_STOP: Duration = Duration::from_secs(10);
/// Limit of a graceful stop of `dev`, where a person waits for the prompt.
pub(super) const DEV_STOP: Duration = Duration::from_secs(2);

/// The parts of a stop each get a share of its limit, in sixteenths counted from its beginning. A part that
/// ends late takes time from the parts after it, never from the limit.
const SHARES: u32 = 16;

/// A graceful stop in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    begun: Instant,
    limit: Duration,
}

/// Tells when to stop, and why.
#[derive(Clone)]
pub(super) struct Lifecycle {
    stop: CancellationToken,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Lifecycle {
    /// Listens to SIGTERM and Ctrl-C from now on. A second signal ends the process at once, and so does the
    /// end of `limit` after the first.
    pub fn start(limit: Duration) -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("can't listen to SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("can't listen to SIGINT")?;
        let life = Self {
            stop: CancellationToken::new(),
            failure: Arc::default(),
        };
        let stop = life.stop.clone();
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            end_after(limit);
            stop.cancel();
            tracing::info!("stopping: a second signal ends the process at once");
            let code = either(&mut terminate, &mut interrupt).await;
            std::process::exit(code);
        });
        Ok(life)
    }

    /// A lifecycle that may end before this one, and ends with it.
    pub fn part(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            failure: Arc::default(),
        }
    }

    /// Stops it with this error as its result.
    pub fn fail(&self, error: anyhow::Error) {
        // The first failure is the cause; later ones are its consequences.
        self.failure.lock().get_or_insert(error);
        self.stop.cancel();
    }

    /// Stops it once `vital` has lost a task.
    pub fn depend_on(&self, vital: &Vital) {
        let (life, vital) = (self.clone(), vital.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = vital.lost() => {
                    life.fail(anyhow::anyhow!("a task has ended that this process can't do without"));
                }
                () = life.stopped() => {}
            }
        });
    }

    /// Whether it is time to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether it stops because something has failed.
    pub fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    /// Waits for the time to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The result of the life: the failure that ended it, if any.
    pub fn result(self) -> anyhow::Result<()> {
        let failure = self.failure.lock().take();
        failure.map_or(Ok(()), Err)
    }
}

impl Ending {
    /// Begins a stop now, with `limit`.
    pub fn begin(limit: Duration) -> Self {
        Self {
            begun: Instant::now(),
            limit,
        }
    }

    /// The time at which so many sixteenths of the limit are over.
    pub fn at(&self, sixteenths: u32) -> Instant {
        self.begun + self.limit * sixteenths / SHARES
    }

    /// How long it is until then.
    pub fn until(&self, sixteenths: u32) -> Duration {
        self.at(sixteenths)
            .saturating_duration_since(Instant::now())
    }
}

/// Ends the process after `limit`, if it still runs then. It uses a thread of its own, because the runtime,
/// or its end, may be what hangs.
fn end_after(limit: Duration) {
    let watch = move || {
        std::thread::sleep(limit);
        tracing::warn!(?limit, "the stop took too long: ending in the middle of it");
        std::process::exit(1);
    };
    let watch = std::thread::Builder::new()
        .name("stop-limit".into())
        .spawn(watch);
    if let Err(error) = watch {
        tracing::warn!(%error, "nothing watches over the limit of the stop");
    }
}

/// The exit code that shells expect of a process ended by the signal that came.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    }
}
