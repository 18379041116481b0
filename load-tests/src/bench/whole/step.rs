//! One rate: warm up, measure between two readings, and wait until everything is confirmed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::figures::{Figures, Seen};
use super::reading::{Reading, Servers};
use super::subject::Subject;
use crate::bench::following::follow;
use crate::load::{Plan, run as run_load};
use crate::system::{Deployment, Settings, scalar};

/// A backlog that isn't gone by then ends the table of this `trackops`.
const DRAIN_MAX: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(250);

/// Runs one step on the subject, whose roles run.
pub async fn measure(settings: &Settings, subject: &mut Subject<'_>, rate: u32) -> Result<Figures> {
    let servers = Servers::find(settings)?;
    let deployment = &subject.deployment;
    let up = subject.up.as_mut().context("the roles run")?;
    let (warm_up, measured) = (settings.warm_up(), settings.measured());
    let plan = Plan::timed(rate, warm_up, measured);
    let (traffic, followers) = follow(up.roles.order.public, &plan).await?;

    let start = Instant::now();
    let roles = &up.roles;
    let looking = async {
        tokio::time::sleep_until((start + warm_up).into()).await;
        let before = Reading::take(deployment, roles, &servers).await?;
        tokio::time::sleep_until((start + warm_up + measured).into()).await;
        let after = Reading::take(deployment, roles, &servers).await?;
        anyhow::Ok((before, after))
    };
    let (outcome, readings) = tokio::join!(run_load(plan, &mut up.pool, traffic), looking);
    let (outcome, (before, after)) = (outcome?, readings?);
    let drained_seconds = drained_within(deployment, DRAIN_MAX).await?;
    let seen = Seen {
        followed: followers.finish().await?,
        outcome,
        drained_seconds,
    };
    subject.add(&seen.outcome);
    let figures = Figures::between(settings, rate, &before, &after, &seen)?;
    if figures.drained_seconds.is_none() {
        subject.failure = Some(format!(
            "after {rate} orders/s orders were still pending {DRAIN_MAX:?} later"
        ));
    }
    Ok(figures)
}

/// Seconds until no order is pending and both outboxes are empty; `None` if that takes longer.
pub async fn drained_within(deployment: &Deployment<'_>, limit: Duration) -> Result<Option<f64>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if left(deployment).await? == 0 {
            return Ok(Some(start.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(None)
}

/// What stands between the system and rest: the first of the counts that isn't 0.
async fn left(deployment: &Deployment<'_>) -> Result<u64> {
    let Deployment {
        orders_url,
        inventory_url,
        ..
    } = deployment;
    let counts = [
        (orders_url, "SELECT count(*) FROM outbox"),
        (inventory_url, "SELECT count(*) FROM outbox"),
        (
            orders_url,
            "SELECT count(*) FROM orders WHERE status = 'PENDING'",
        ),
    ];
    for (url, sql) in counts {
        let left = scalar(url, sql).await?;
        if left > 0 {
            return Ok(left);
        }
    }
    Ok(0)
}
