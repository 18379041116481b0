//! The life of a process: until a signal or a failure, then a graceful stop within a limit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Limit of a graceful stop of a role.
pub(super) const ROLE_STOP: Duration = Duration::from_secs(10);
/// Limit of a graceful stop of `dev`, where a person waits for the prompt.
pub(super) const DEV_STOP: Duration = Duration::from_secs(2);

/// Says when to stop, and why.
#[derive(Clone)]
pub(super) struct Lifecycle {
    stop: CancellationToken,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Lifecycle {
    /// Listens to SIGTERM and Ctrl-C from now on. A second one ends the process at once.
    pub fn start() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("can't listen to SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("can't listen to SIGINT")?;
        let life = Self {
            stop: CancellationToken::new(),
            failure: Arc::default(),
        };
        let stop = life.stop.clone();
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::info!("stopping: a second signal ends the process at once");
            stop.cancel();
            let code = either(&mut terminate, &mut interrupt).await;
            std::process::exit(code);
        });
        Ok(life)
    }

    /// A part of this life that may end before it, and ends with it.
    pub fn part(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            failure: Arc::default(),
        }
    }

    /// Stops it with this error as its result.
    pub fn fail(&self, error: anyhow::Error) {
        // The first failure is the cause; what follows is its consequence.
        self.failure.lock().get_or_insert(error);
        self.stop.cancel();
    }

    /// Whether it is time to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits for the time to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Its result.
    pub fn result(self) -> anyhow::Result<()> {
        let failure = self.failure.lock().take();
        failure.map_or(Ok(()), Err)
    }
}

/// The exit code that shells expect of a process ended by the signal that came.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    }
}
