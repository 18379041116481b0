//! Whether this process should get requests: named checks, and where it is in its life.

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

/// What a check is if it fails or is too slow.
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

/// The checks of a process and where it is in its life. A new one is starting.
#[derive(Default)]
pub struct Readiness {
    checks: RwLock<Vec<Arc<Named>>>,
    phase: AtomicU8,
}

/// The outcome of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Requests should come.
    pub ready: bool,
    /// Each check's name and verdict; `process` says where the process is in its life.
    pub checks: Vec<(&'static str, CheckResult)>,
}

impl Readiness {
    /// Without checks, starting.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a check that says itself how bad it is. Too slow counts as failed, as bad as `need` says.
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

    /// Adds a check by a fallible call, such as a port's `ping`.
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

    /// The process is on its way out: never ready again.
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
            // Nothing that a check could find would change the answer, and whoever asks is in a hurry.
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
        // Asked once more: the checks may have taken a while, and a stop has begun meanwhile.
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
