//! Whether this process should get requests: named checks, and the phase of the process (starting, running,
//! draining).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;

/// How long a check may take before it counts as failed: under the one second after which
/// Kubernetes gives up on a probe unless told otherwise.
const CHECK_MAX: Duration = Duration::from_millis(800);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// As it should be.
    Ready,
    /// Something is away that requests can do without; still ready.
    Degraded(String),
    /// Requests would fail.
    Unready(String),
}

/// How bad it is if a check fails or is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Requests fail without it: PostgreSQL, the topics.
    Required,
    /// Requests go on without it: Redis, Kafka.
    Optional,
}

type Pending = Pin<Box<dyn Future<Output = CheckResult> + Send>>;
type Check = Arc<dyn Fn() -> Pending + Send + Sync>;

struct Named {
    name: &'static str,
    need: Need,
    check: Check,
}

const STARTING: u8 = 0;
const STARTED: u8 = 1;
const DRAINING: u8 = 2;

/// The checks of a process, and its phase. A new one is starting.
#[derive(Default)]
pub struct Readiness {
    checks: RwLock<Vec<Arc<Named>>>,
    phase: AtomicU8,
}

/// The outcome of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether requests should come.
    pub ready: bool,
    /// Each check's name and outcome; `process` gives the phase of the process.
    pub checks: Vec<(&'static str, CheckResult)>,
}

impl Readiness {
    /// A process that is starting, without checks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a check that reports its own outcome. A check that is too slow has failed, as badly as `need`
    /// says.
    pub fn check<F, Fut>(&self, name: &'static str, need: Need, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = CheckResult> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks
            .write()
            .push(Arc::new(Named { name, need, check }));
    }

    /// Adds a check that is a fallible call, such as a port's `ping`.
    pub fn ping<F, Fut, E>(&self, name: &'static str, need: Need, ping: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        self.check(name, need, move || {
            let pinged = ping();
            async move {
                match pinged.await {
                    Ok(()) => CheckResult::Ready,
                    Err(error) => failed(need, error.to_string()),
                }
            }
        });
    }

    /// The process is up: `/startupz` says so from now on.
    pub fn set_started(&self) {
        let _ = self
            .phase
            .compare_exchange(STARTING, STARTED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The process is stopping: it is never ready again.
    pub fn set_draining(&self) {
        self.phase.store(DRAINING, Ordering::Release);
    }

    /// Whether it has started (a draining one has).
    pub fn has_started(&self) -> bool {
        self.phase.load(Ordering::Acquire) != STARTING
    }

    /// Runs every check, side by side.
    pub async fn report(&self) -> Report {
        if self.phase.load(Ordering::Acquire) == DRAINING {
            // No check could change the answer, and the orchestrator that asks should get it at once.
            return Report::of(vec![("process", self.process())]);
        }
        let checks: Vec<Arc<Named>> = self.checks.read().clone();
        let running = checks.iter().map(|named| async move {
            let verdict = tokio::time::timeout(CHECK_MAX, (named.check)()).await;
            let late = || {
                failed(
                    named.need,
                    format!("no answer within {} ms", CHECK_MAX.as_millis()),
                )
            };
            (named.name, verdict.unwrap_or_else(|_| late()))
        });
        let found = join_all(running).await;
        // The phase is read once more: a stop may have begun while the checks ran.
        let mut all = vec![("process", self.process())];
        all.extend(found);
        Report::of(all)
    }

    fn process(&self) -> CheckResult {
        match self.phase.load(Ordering::Acquire) {
            STARTING => CheckResult::Unready("starting".into()),
            STARTED => CheckResult::Ready,
            _ => CheckResult::Unready("draining".into()),
        }
    }
}

impl Report {
    fn of(checks: Vec<(&'static str, CheckResult)>) -> Self {
        let is_unready = |verdict: &CheckResult| matches!(verdict, CheckResult::Unready(_));
        Self {
            ready: !checks.iter().any(|(_, verdict)| is_unready(verdict)),
            checks,
        }
    }
}

fn failed(need: Need, reason: String) -> CheckResult {
    match need {
        Need::Required => CheckResult::Unready(reason),
        Need::Optional => CheckResult::Degraded(reason),
    }
}
