//! Ten minutes at a time. First the whole system with more orders than fit: does the rate of
//! confirmations ever sink while statistics are gathered and dead rows cleared away? Then the order role
//! alone at full speed, with nobody to relay: is anything refused, and does its memory grow?

mod full_speed;
mod overload;
mod windows;

use anyhow::Result;

use super::checks::ensure_durable;
use super::server_log;
use super::whole::{Subject, bring_up, deployments};
use crate::report::Section;
use crate::system::{Databases, Redis, Settings};

/// The cache of millions of orders would take the memory that PostgreSQL's pages are in.
const REDIS_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Both parts of each `trackops`.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    let redis = Redis::parse(&settings.redis()?)?;
    let limit_before = redis.limit_memory(REDIS_BYTES_MAX).await?;
    let sections = both_parts(settings, databases).await;
    redis.limit_memory(limit_before).await?;
    sections
}

async fn both_parts(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    server_log::prepare(settings).await?;
    let mut subjects = Subject::all(settings, databases, "overload", &[]).await?;
    for number in 0..subjects.len() {
        let subject = bring_up(&mut subjects, number).await?;
        sections.push(overload::measure(settings, subject).await?);
    }
    // Gigabytes of rows that the next part doesn't need.
    drop(subjects);
    databases.drop_all(settings).await?;
    for (label, deployment) in deployments(settings, databases, "fullspeed").await? {
        server_log::checkpoint(settings).await?;
        sections.push(full_speed::measure(settings, label, &deployment).await?);
    }
    Ok(sections)
}
