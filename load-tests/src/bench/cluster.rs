//! Several order replicas that share the shards: what another hop costs, how long the orders of a killed
//! replica are away, how long a command waits while shards move, and what one more replica costs.
//!
//! The order role alone: without a relay orders stay PENDING until a client cancels them, and nothing
//! but the clients' commands is under way.

mod forwarding;
mod moves;
mod rest;
mod takeover;

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use uuid::Uuid;

use super::checks::{Told, ensure_durable, ensure_no_violation};
use super::placing::Placing;
use crate::load::{Plan, Pool, run as run_load};
use crate::system::{Databases, Deployment, Replicas, Role, Settings, scalar};

/// Takes part in every part but the last of `rest`.
const REPLICAS: usize = 3;
/// Orders are placed beforehand by so many connections, as fast as they go.
const PLACING_CONNECTIONS: usize = 16;

/// What clients were told, over all parts.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Answers {
    told: Told,
    /// Cancels that were answered 200, each of another order.
    cancelled: u64,
    /// Cancels whose outcome isn't known.
    cancels_unknown: u64,
}

/// All parts on one deployment; the one at rest first, while there are no orders.
pub async fn run(settings: &Settings, databases: &Databases) -> super::Found {
    ensure_durable(settings).await?;
    let deployment = Deployment::create(settings, databases, "cluster").await?;
    let mut replicas = Replicas::start(&deployment, REPLICAS).await?;
    let mut answers = Answers::default();
    let mut sections = vec![
        rest::measure(settings, &deployment, &mut replicas).await?,
        forwarding::measure(settings, &replicas, &mut answers).await?,
        takeover::measure(settings, &mut replicas, &mut answers).await?,
        moves::measure(settings, &mut replicas, &mut answers).await?,
    ];
    ensure_no_violation(&replicas.up()).await?;
    replicas.stop().await?;
    let rows = answers.compare(&deployment).await?;
    deployment.forget_keys().await?;
    if let Some(last) = sections.last_mut() {
        last.row("rows of all parts", rows);
        last.data["answers"] = json!(answers);
    }
    Ok(sections)
}

/// Places `count` orders at `role`, which so owns them, and gives their ids.
async fn place(role: &Role, count: u64, answers: &mut Answers) -> Result<Vec<Uuid>> {
    let placing = Arc::new(Placing::new(role.public));
    let mut pool = Pool::open(role.public, PLACING_CONNECTIONS).await?;
    let plan = Plan::counted(0, count);
    let outcome = run_load(plan, &mut pool, Arc::clone(&placing)).await?;
    answers.told.add(&outcome);
    ensure!(
        outcome.is_clean() && outcome.accepted == count,
        "place {count} orders at {}: {}",
        role.name,
        outcome.describe()
    );
    Ok(placing.orders())
}

impl Answers {
    /// The 201s must be as many as the orders, the cancels as many as the second versions; those of
    /// unknown outcome may or may not be there. Gives a line that says so.
    async fn compare(&self, deployment: &Deployment<'_>) -> Result<String> {
        let rows = deployment.rows().await?;
        self.told.compare(&rows)?;
        let sql = "SELECT count(*) FROM order_events WHERE version = 2";
        let second = scalar(&deployment.orders_url, sql).await?;
        let cancelled = self.cancelled..=self.cancelled + self.cancels_unknown;
        ensure!(
            cancelled.contains(&second) && rows.events == rows.orders + second,
            "{} cancels were answered 200 ({} unknown), but the journal has {second} second versions and {rows:?}",
            self.cancelled,
            self.cancels_unknown
        );
        Ok(format!(
            "{} orders and {second} cancels, as many as answers 201 and 200; no invariant broken",
            rows.orders
        ))
    }
}

/// How a figure stands to what it should be at most.
fn aim(figure: f64, at_most: f64, unit: &str) -> String {
    let how = if figure <= at_most { "met" } else { "MISSED" };
    format!("aim: at most {at_most} {unit}, {how}")
}
