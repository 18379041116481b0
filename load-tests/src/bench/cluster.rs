//! Several order replicas that share the shards: what another hop costs, how long the orders of a killed
//! replica are away, how long a command waits while shards move, and what one more replica costs.
//!
//! The order role alone: without a relay orders stay PENDING until a client cancels them, and nothing
//! but the clients' commands is under way.

mod aim;
mod answers;
mod forwarding;
mod moves;
mod replicas;
mod rest;
mod takeover;

use anyhow::Result;
use serde_json::json;

use self::answers::Answers;
use self::replicas::REPLICAS;
use super::checks::{ensure_durable, ensure_no_violation};
use crate::report::Section;
use crate::system::{Databases, Deployment, Replicas, Settings};

/// All parts on one deployment; the one at rest first, while there are no orders.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
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
