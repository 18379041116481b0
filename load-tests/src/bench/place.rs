//! `POST /orders` on the order role alone (Redis written through, outbox rows written, no relay): the
//! highest rate at which p99 stays within the limit, beside pgbench doing the same three inserts. The two
//! take turns, because the machine is another one a few minutes later.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::checks::{NO_TIME_OUT, Told, ensure_durable, ensure_no_violation, mean_batch};
use super::server_log::{checkpoint, prepare};
use crate::load::{Found, Outcome, Plan, Pool, confirm, highest, run as run_load};
use crate::numbers::median;
use crate::order::PlaceOrders;
use crate::pgbench::{self, Baseline};
use crate::report::{Section, percentiles};
use crate::system::{Databases, Deployment, Metrics, Role, Settings};

/// Requests under way at most; at p99 of 50 ms this carries over 20,000 a second.
pub const CONNECTIONS: usize = 256;
/// Actors that have been idle this long end, as they would in any system that runs
/// for long: a run of minutes would otherwise measure only the time before that.
const PASSIVATE_LIVE_MS: &str = "5000";
/// Where the search begins.
const START_RATE: u32 = 8000;
/// Each begins so many percent above what the last one found: that may have been a noisy minute.
const RISE_PERCENT: u32 = 6;
/// pgbench, ours, pgbench, ours …
const ROUNDS: usize = 4;

/// Looks for the highest rate, then lets pgbench and the order role alternate.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    prepare(settings).await?;
    let mut baseline = pgbench::sweep(settings, databases).await?;
    checkpoint(settings).await?;
    let deployment = Deployment::create(settings, databases, "place").await?;
    let keys_before = deployment.redis.keys().await?;
    let mut placing = Placing::start(&deployment).await?;
    let limits = settings.limits(START_RATE);
    let mut searched = highest(limits, async |plan| placing.attempt(plan).await).await?;
    let mut rounds = Vec::new();
    let mut rate = searched.rate;
    for _ in 0..settings.pick(2, ROUNDS) {
        checkpoint(settings).await?;
        baseline.repeat(settings).await?;
        checkpoint(settings).await?;
        rate += rate * RISE_PERCENT / 100;
        let found = confirm(limits, rate, async |plan| placing.attempt(plan).await).await?;
        rate = found.rate;
        rounds.push(found);
    }
    let keys = deployment.redis.keys().await?.saturating_sub(keys_before);
    let Placing {
        order,
        told,
        mean_batch,
        ..
    } = placing;
    ensure_no_violation(&[&order]).await?;
    order.stop().await?;
    let rows = deployment.rows().await?;
    told.compare_with_outbox(&rows)?;
    deployment.forget_keys().await?;

    let mut section = section(&rounds, &baseline, mean_batch);
    section.row("Redis keys written", keys.to_string());
    section.row(
        "rows",
        format!(
            "{} orders, {} events, {} outbox, as many as answers 201",
            rows.orders, rows.events, rows.outbox
        ),
    );
    section.data["rows"] = json!(rows);
    section.data["told"] = json!(told);
    searched
        .attempts
        .extend(rounds.into_iter().flat_map(|found| found.attempts));
    section.data["attempts"] = json!(searched.attempts);
    Ok(vec![baseline.section(), section])
}

/// The order role under load, every answer compared with the rows.
struct Placing<'a> {
    deployment: &'a Deployment<'a>,
    order: Role,
    orders: Arc<PlaceOrders>,
    pool: Pool,
    told: Told,
    /// Rows a commit in the last run.
    mean_batch: Option<f64>,
}

impl<'a> Placing<'a> {
    async fn start(deployment: &'a Deployment<'a>) -> Result<Self> {
        let passivate = ("TRACKOPS_PASSIVATE_LIVE_MS", PASSIVATE_LIVE_MS);
        let order = deployment.start("order", &[passivate, NO_TIME_OUT]).await?;
        let pool = Pool::open(order.public, CONNECTIONS).await?;
        Ok(Self {
            deployment,
            orders: Arc::new(PlaceOrders::new(order.public)),
            order,
            pool,
            told: Told::default(),
            mean_batch: None,
        })
    }

    async fn attempt(&mut self, plan: Plan) -> Result<Outcome> {
        let before = Metrics::read(&self.order).await?;
        let outcome = run_load(plan, &mut self.pool, Arc::clone(&self.orders)).await?;
        self.mean_batch = mean_batch(&before, &Metrics::read(&self.order).await?);
        self.told.add(&outcome);
        self.told
            .compare_with_outbox(&self.deployment.rows().await?)?;
        Ok(outcome)
    }
}

/// Ours beside pgbench's, run by run and in the middle.
fn section(rounds: &[Found], baseline: &Baseline, batch: Option<f64>) -> Section {
    let mut section = Section::new("place: order role alone, relay stopped");
    let ours: Vec<f64> = rounds.iter().map(|found| found.outcome.rate).collect();
    let theirs = baseline.rates();
    for (found, pgbench) in rounds.iter().zip(&theirs) {
        let Found { rate, outcome, .. } = found;
        section.row(
            format!("{:.0} orders/s (sent at {rate}/s)", outcome.rate),
            format!(
                "{:.2} times {pgbench:.0}/s   {}",
                outcome.rate / pgbench,
                percentiles(&outcome.latency)
            ),
        );
    }
    let (our_median, their_median) = (middle(&ours), middle(&theirs));
    let ratio = our_median / their_median;
    section.row(
        "medians",
        format!("{our_median:.0} orders/s, {ratio:.2} times pgbench's {their_median:.0}/s"),
    );
    section.row(
        "mean batch",
        batch.map_or("metric missing".to_owned(), |batch| {
            format!("{batch:.1} orders")
        }),
    );
    section.note(format!("{CONNECTIONS} connections; idle orders passivate after {PASSIVATE_LIVE_MS} ms; latency from the intended send time"));
    section.note(format!(
        "reservations time out after {} ms: without a relay nobody answers them",
        NO_TIME_OUT.1
    ));
    let latencies: Vec<_> = rounds.iter().map(|found| found.outcome.latency).collect();
    section.data = json!({
        "ordersPerSecond": our_median, "rounds": ours, "latencies": latencies, "pgbench": theirs,
        "ratio": ratio, "meanBatch": batch, "connections": CONNECTIONS, "passivateLiveMs": PASSIVATE_LIVE_MS,
    });
    section
}

fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}
