//! What a replica costs that nobody asks anything: memory, CPU time, and what it asks of PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::replicas::REPLICAS;
use crate::numbers::to_f64;
use crate::report::Section;
use crate::system::{Deployment, Replicas, Settings, scalar, show};

const MIB: f64 = 1024.0 * 1024.0;

/// So many replicas at rest.
#[derive(Debug, Serialize)]
struct AtRest {
    replicas: usize,
    /// Of each, in bytes.
    resident: Vec<u64>,
    /// Of each: CPU seconds a second.
    cpu: Vec<f64>,
    transactions_per_second: f64,
    connections: u64,
}

/// Three replicas, and then a fourth for a while.
pub async fn measure(
    settings: &Settings,
    deployment: &Deployment<'_>,
    replicas: &mut Replicas<'_>,
) -> Result<Section> {
    let few = look(settings, deployment, replicas).await?;
    replicas.bring_up(REPLICAS).await?;
    replicas.balanced().await?;
    let more = look(settings, deployment, replicas).await?;
    replicas.take(REPLICAS)?.stop().await?;
    replicas.balanced().await?;

    let mut section = Section::new("cluster: one more replica at rest");
    for at_rest in [&few, &more] {
        let AtRest {
            replicas,
            transactions_per_second,
            connections,
            ..
        } = at_rest;
        section.row(
            format!("{replicas} idle replicas, each"),
            format!(
                "{:.1} MiB resident, {:.4} CPU seconds a second",
                mean(at_rest.resident.iter().map(|bytes| to_f64(*bytes))) / MIB,
                mean(at_rest.cpu.iter().copied())
            ),
        );
        section.row(
            format!("{replicas} idle replicas, together"),
            format!(
                "{transactions_per_second:.1} PostgreSQL transactions/s, {connections} connections"
            ),
        );
    }
    section.row(
        "one more",
        format!(
            "{:.1} PostgreSQL transactions/s, {} connections",
            more.transactions_per_second - few.transactions_per_second,
            more.connections.saturating_sub(few.connections)
        ),
    );
    section.note(format!(
        "over {:?} after a rest of the same length, no orders yet; transactions by pg_stat_database of the orders database, which busy backends report every second and idle ones up to 10 s late",
        window(settings)
    ));
    section.data = json!({"few": few, "more": more, "windowSeconds": window(settings).as_secs()});
    Ok(section)
}

/// CPU time is counted in steps of 10 ms. Backends report their transactions every second, those that have
/// become idle up to 10 s late: the rest before a full window is longer than that.
fn window(settings: &Settings) -> Duration {
    Duration::from_secs(settings.pick(2, 20))
}

async fn look(
    settings: &Settings,
    deployment: &Deployment<'_>,
    replicas: &Replicas<'_>,
) -> Result<AtRest> {
    let up = replicas.up();
    let cpu = || up.iter().map(|role| role.cpu_seconds());
    // Asked by way of another database, so that the questions don't count.
    let url = settings.postgres("postgres")?;
    let database = show(&deployment.orders_url, "SELECT current_database()::text").await?;
    let commits = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'");
    let backends = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    // What a start and its moves leave to be done is done by then.
    tokio::time::sleep(window(settings)).await;

    let (from, commits_before) = (Instant::now(), scalar(&url, &commits).await?);
    let cpu_before: Vec<f64> = cpu().collect::<Result<_>>()?;
    tokio::time::sleep(window(settings)).await;
    let cpu_after: Vec<f64> = cpu().collect::<Result<_>>()?;
    let grown = scalar(&url, &commits).await?.saturating_sub(commits_before);
    let seconds = from.elapsed().as_secs_f64();
    let at_rest = AtRest {
        replicas: up.len(),
        resident: up
            .iter()
            .map(|role| role.resident_bytes())
            .collect::<Result<_>>()?,
        cpu: cpu_before
            .iter()
            .zip(&cpu_after)
            .map(|(before, after)| (after - before) / seconds)
            .collect(),
        transactions_per_second: to_f64(grown) / seconds,
        connections: scalar(&url, &backends).await?,
    };
    eprintln!(
        "  {} at rest: {:.1} transactions/s",
        at_rest.replicas, at_rest.transactions_per_second
    );
    Ok(at_rest)
}

fn mean(figures: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = to_f64(figures.len() as u64);
    figures.sum::<f64>() / count
}
