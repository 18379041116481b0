//! Compares what clients were told with what is in the database. A benchmark
//! whose numbers don't agree is a failure, not a figure.

use anyhow::{Result, ensure};

use crate::load::Outcome;
use crate::system::{Deployment, Metrics, Role, Rows, Settings, show};

/// What the order role counts of its orders, and the labels of the steps that matter to benchmarks.
pub const TRANSITIONS: &str = "trackops_order_transitions_total";
pub const PLACED: &str = "to=\"PENDING\"";
pub const CONFIRMED: &str = "to=\"CONFIRMED\"";
/// Whatever came of them.
pub const SETTLED: &str = "from=\"PENDING\"";
/// With the relay stopped nobody answers the reservations: they would time out in the middle of a run, and
/// be asked again, 500 a second.
pub const NO_TIME_OUT: (&str, &str) = ("TRACKOPS_RESERVATION_TIMEOUT_MS", "3600000");

/// What clients were told, over all runs against one deployment.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Told {
    /// Answers 201.
    pub created: u64,
    /// Requests whose outcome isn't known.
    pub unknown: u64,
}

impl Told {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.created += outcome.accepted;
        self.unknown += outcome.unknown;
    }

    /// Orders and first versions must be as many as the 201s; requests of unknown
    /// outcome may or may not be there.
    pub fn compare(&self, rows: &Rows) -> Result<()> {
        self.compare_journal(rows.orders, rows.first_versions)
    }

    /// `compare`, for a journal of any kind.
    pub fn compare_journal(&self, orders: u64, first_versions: u64) -> Result<()> {
        let told = self.created..=self.created + self.unknown;
        ensure!(
            told.contains(&orders) && orders == first_versions,
            "{} orders were answered 201 ({} unknown), but the journal has {orders} orders and {first_versions} first versions",
            self.created,
            self.unknown
        );
        Ok(())
    }

    /// `compare`, and one outbox row for each event: for runs without a relay.
    pub fn compare_with_outbox(&self, rows: &Rows) -> Result<()> {
        self.compare(rows)?;
        ensure!(
            rows.events == rows.orders && rows.outbox == rows.events,
            "without a relay and a saga every order has one event and one outbox row, but there are {rows:?}"
        );
        Ok(())
    }
}

/// Figures of a database that doesn't flush are worth nothing here.
pub async fn ensure_durable(settings: &Settings) -> Result<()> {
    let url = settings.postgres("postgres")?;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = show(&url, &format!("SHOW {setting}")).await?;
        ensure!(
            value == "on",
            "PostgreSQL runs with {setting} = {value}; the benchmarks need it on"
        );
    }
    Ok(())
}

/// The journal's mean batch between two readings; `None` if the metric is missing.
pub fn mean_batch(before: &Metrics, after: &Metrics) -> Option<f64> {
    let grown = |name: &str| Some(after.sum(name)? - before.sum(name).unwrap_or(0.0));
    let batches = grown("trackops_journal_batch_size_count")?;
    (batches > 0.0).then_some(())?;
    Some(grown("trackops_journal_batch_size_sum")? / batches)
}

/// Invariants that the roles themselves saw broken.
pub async fn ensure_no_violation(roles: &[&Role]) -> Result<()> {
    for role in roles {
        let violations = Metrics::read(role)
            .await?
            .sum("trackops_invariant_violations_total")
            .unwrap_or(0.0);
        ensure!(
            violations == 0.0,
            "{} counts {violations} violations of invariants",
            role.name
        );
    }
    Ok(())
}

/// Waits until the outbox is empty; says after how many seconds, `None` if it never was.
pub async fn outbox_drained(
    deployment: &Deployment<'_>,
    limit: std::time::Duration,
) -> Result<Option<f64>> {
    let start = std::time::Instant::now();
    while start.elapsed() < limit {
        let left =
            crate::system::scalar(&deployment.orders_url, "SELECT count(*) FROM outbox").await?;
        if left == 0 {
            return Ok(Some(start.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    Ok(None)
}
