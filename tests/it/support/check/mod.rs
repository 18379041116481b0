//! The invariants I1 to I8, looked at from outside: in the journal, in Kafka read back, in the
//! inventory's tables, in Redis, by REST, and in what clients were told.
//!
//! The checks give violations instead of failing, so that a test can show that they find a defect.

pub mod bus;
pub mod journal;
pub mod shown;
pub mod stock;

use std::time::Duration;

use trackops_domain::invariants::Invariant;

use self::journal::JournalRows;
use super::acknowledged::Acknowledged;
use super::deployment::Deployment;
use super::recorder::Recorder;
use super::wait::within;

/// A static member of a consumer group is missed for 6 s after a kill; sagas go on within 10 s.
const SETTLE_MAX: Duration = Duration::from_secs(90);

/// A breach that a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of what.
    pub invariant: Invariant,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// A breach of `invariant`.
    pub fn new(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self {
            invariant,
            detail: detail.into(),
        }
    }
}

/// How much is to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// How long sagas and outboxes may take to settle.
    pub settle_max: Duration,
    /// The roles run, so that reads and metrics can be looked at.
    pub running: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            settle_max: SETTLE_MAX,
            running: true,
        }
    }
}

/// Everything that doesn't hold, once the system has come to rest.
pub async fn check_invariants(
    deployment: &Deployment,
    told: &Acknowledged,
    recorder: Option<&Recorder>,
    scope: Scope,
) -> Vec<Violation> {
    // What hasn't settled by then is found, and named, by the checks below.
    let _ = within(scope.settle_max, || stock::settled(deployment)).await;
    let rows = JournalRows::read(&deployment.orders_url).await;
    let mut found = told.violations();
    found.extend(journal::check(&rows));
    found.extend(shown::check_told(&rows, &told.seen()));
    found.extend(shown::check_cache(deployment, &rows).await);
    found.extend(bus::check(deployment, &rows).await);
    found.extend(stock::check(deployment, &rows).await);
    if scope.running {
        found.extend(shown::check_reads(deployment, &rows).await);
        found.extend(shown::check_metrics(deployment).await);
    }
    if let Some(recorder) = recorder {
        found.extend(shown::check_recorder(recorder, &rows).await);
    }
    found
}

/// Checks with the usual scope and fails if anything doesn't hold.
pub async fn assert_invariants(
    deployment: &Deployment,
    told: &Acknowledged,
    recorder: Option<&Recorder>,
) {
    let found = check_invariants(deployment, told, recorder, Scope::default()).await;
    assert!(
        found.is_empty(),
        "{} violations, among them:\n{:#?}",
        found.len(),
        &found[..found.len().min(12)]
    );
}

/// Fails unless `invariant` is among what was found.
#[track_caller]
pub fn assert_red(found: &[Violation], invariant: Invariant) {
    assert!(
        found
            .iter()
            .any(|violation| violation.invariant == invariant),
        "the defect went unseen: {} is not among {found:#?}",
        invariant.id()
    );
}
