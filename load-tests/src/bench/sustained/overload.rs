//! The whole system with more orders than fit.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::windows::{self, CONNECTIONS, WINDOW, Window, grid};
use crate::bench::whole::{Subject, drained_within};
use crate::load::Plan;
use crate::report::Section;
use crate::system::{Settings, scalar};

/// How often PostgreSQL has looked after the two tables whose statistics matter, by itself.
const UPKEEP: &str = "SELECT coalesce(sum(autovacuum_count + autoanalyze_count), 0)::bigint \
    FROM pg_stat_user_tables WHERE relname IN ('outbox', 'orders')";

/// Runs it on the subject, whose roles run, and takes them down.
pub async fn measure(settings: &Settings, subject: &mut Subject<'_>) -> Result<Section> {
    let time = settings.sustained();
    let plan = match settings.rates.first() {
        Some(rate) => Plan {
            ends_after: Some(time),
            ..Plan::timed(*rate, std::time::Duration::ZERO, time)
        },
        None => Plan::full_speed(time),
    };
    let up = subject.up.as_mut().context("the roles run")?;
    let (outcome, windows) = windows::run(plan, time, &mut up.pool, &up.roles.order).await?;
    subject.add(&outcome);
    let left_sql = "SELECT count(*) FROM orders WHERE status = 'PENDING'";
    let left = scalar(&subject.deployment.orders_url, left_sql).await?;
    let drained = drained_within(&subject.deployment, time).await?;
    let upkeep = scalar(&subject.deployment.orders_url, UPKEEP).await?;
    subject.take_down().await?;
    let counted = subject.check().await?;

    let title = format!("sustained: more than fits ({} trackops)", subject.label);
    let mut section = Section::new(title);
    let (worst, median) = worst_and_median(&windows);
    section.row(
        "confirmed, worst 10 s beside the median",
        format!("{worst:.0}/s of {median:.0}/s = {:.2}", worst / median),
    );
    section.row("placed", outcome.describe());
    section.row("pending at the end", left.to_string());
    section.row(
        "drained",
        match drained {
            Some(seconds) => format!("after {seconds:.0} s"),
            None => format!("NOT within {:.0} s", time.as_secs_f64()),
        },
    );
    section.row(
        "rows",
        format!(
            "{} orders, as many as answers 201; {} of them not CONFIRMED",
            counted.orders, counted.otherwise
        ),
    );
    section.row(
        "autovacuum and analyze of orders and outbox",
        upkeep.to_string(),
    );
    section.grids.push(grid(&windows));
    section.note(format!(
        "{CONNECTIONS} connections, {}; windows of {} s, the first left out",
        match plan.rate {
            0 => "each sends as soon as it has its answer".to_owned(),
            rate => format!("{rate} orders/s sent"),
        },
        WINDOW.as_secs()
    ));
    section.data = json!({
        "trackops": subject.label, "worst": worst, "median": median, "ratio": worst / median,
        "windows": windows, "refused": outcome.refused, "unknown": outcome.unknown, "notSent": outcome.not_sent,
        "latency": outcome.latency, "pendingAtEnd": left, "drainedSeconds": drained, "counted": counted,
        "upkeep": upkeep, "sentPerSecond": plan.rate,
    });
    Ok(section)
}

/// Of the confirmations a second, without the window in which everything begins.
fn worst_and_median(windows: &[Window]) -> (f64, f64) {
    let after_first = windows.get(1..).unwrap_or_default();
    let mut rates: Vec<f64> = after_first
        .iter()
        .map(|window| window.confirmed_per_second)
        .collect();
    rates.sort_by(f64::total_cmp);
    (
        rates.first().copied().unwrap_or(0.0),
        crate::numbers::median(&rates),
    )
}
