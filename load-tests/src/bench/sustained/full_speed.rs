//! The order role alone, as fast as the connections allow, with nobody to relay what it writes.

use anyhow::Result;
use serde_json::json;

use super::windows::{self, CONNECTIONS, Window, grid};
use crate::bench::checks::{NO_TIME_OUT, Told, ensure_no_violation};
use crate::load::{Plan, Pool};
use crate::report::Section;
use crate::system::{Deployment, Settings};

/// Places for the whole time and compares the answers with the rows.
pub async fn measure(
    settings: &Settings,
    label: &str,
    deployment: &Deployment<'_>,
) -> Result<Section> {
    let time = settings.sustained();
    let order = deployment.start("order", &[NO_TIME_OUT]).await?;
    let mut pool = Pool::open(order.public, CONNECTIONS).await?;
    let plan = Plan::full_speed(time);
    let (outcome, windows) = windows::run(plan, time, &mut pool, &order).await?;
    ensure_no_violation(&[&order]).await?;
    drop(pool);
    order.stop().await?;
    let mut told = Told::default();
    told.add(&outcome);
    told.compare_with_outbox(&deployment.rows().await?)?;
    deployment.forget_keys().await?;

    let refused: u64 = outcome.refused.values().sum();
    let mut section = Section::new(format!(
        "sustained: placing at full speed ({label} trackops)"
    ));
    section.row("orders/s", format!("{:.0}", outcome.rate));
    section.row(
        "refused",
        match &outcome.error {
            Some(error) => format!(
                "{refused} of {}, such as {error}",
                refused + outcome.accepted
            ),
            None => format!("{refused} of {}", refused + outcome.accepted),
        },
    );
    section.latency("latency from sending", &outcome.latency);
    let (first, second) = most_by_halves(&windows);
    section.row(
        "order role, most in the first half and in the second",
        format!("{first} MiB, {second} MiB"),
    );
    section.grids.push(grid(&windows));
    section.note(format!(
        "{CONNECTIONS} connections, each sends as soon as it has its answer; everything else as it comes, but {} = {}: without a relay nobody answers reservations",
        NO_TIME_OUT.0, NO_TIME_OUT.1
    ));
    section.data = json!({
        "trackops": label, "ordersPerSecond": outcome.rate, "accepted": outcome.accepted,
        "refused": outcome.refused, "unknown": outcome.unknown, "notSent": outcome.not_sent,
        "latency": outcome.latency, "windows": windows, "mostMib": [first, second],
    });
    Ok(section)
}

/// Memory is flat if the second half needs no more than the first.
fn most_by_halves(windows: &[Window]) -> (u64, u64) {
    let (first, second) = windows.split_at(windows.len() / 2);
    let most = |half: &[Window]| half.iter().map(|window| window.resident_mib).max();
    (most(first).unwrap_or(0), most(second).unwrap_or(0))
}
