//! `load`: orders at a constant rate on a system that somebody else started.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::json;

use crate::load::{Plan, Pool, run as run_load};
use crate::order::PlaceOrders;
use crate::report::percentiles;
use crate::system::stock_catalogue;

/// Where to, how fast, how long.
#[derive(Args)]
pub struct LoadArguments {
    /// The order role, such as <http://127.0.0.1:8080>.
    #[arg(long)]
    url: String,
    /// Orders a second.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long is measured.
    #[arg(long)]
    seconds: u64,
    /// How long is sent before that.
    #[arg(long, default_value_t = 2)]
    warm_up_seconds: u64,
    /// Requests under way at most.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// First stock the articles that are ordered, on this inventory role.
    #[arg(long)]
    stock_url: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Places orders and prints what came back. Refusals and lost answers are an error.
pub async fn run(arguments: &LoadArguments) -> Result<()> {
    let server = resolve(&arguments.url).await?;
    if let Some(url) = &arguments.stock_url {
        stock_catalogue(resolve(url).await?).await?;
    }
    let (warm_up, measured) = (
        Duration::from_secs(arguments.warm_up_seconds),
        Duration::from_secs(arguments.seconds),
    );
    let plan = Plan::timed(arguments.rate, warm_up, measured);
    let mut pool = Pool::open(server, arguments.connections).await?;
    let outcome = run_load(plan, &mut pool, Arc::new(PlaceOrders::new(server))).await?;
    if arguments.json {
        let found = json!({
            "ordersPerSecond": outcome.rate, "accepted": outcome.accepted, "refused": outcome.refused,
            "unknown": outcome.unknown, "notSent": outcome.not_sent, "error": outcome.error, "latency": outcome.latency,
        });
        println!("{found}");
    } else {
        println!(
            "{:.0} orders/s, {} accepted with the warm-up's",
            outcome.rate, outcome.accepted
        );
        println!("{}", percentiles(&outcome.latency));
    }
    ensure!(
        outcome.is_clean(),
        "not every order was placed: {}",
        outcome.describe()
    );
    Ok(())
}

/// The address behind `http://host[:port]`.
async fn resolve(url: &str) -> Result<SocketAddr> {
    let host = url
        .strip_prefix("http://")
        .context("the URL must begin with http://")?;
    let host = host.split('/').next().unwrap_or(host);
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut addresses = tokio::net::lookup_host(&host)
        .await
        .with_context(|| format!("look up {host}"))?;
    addresses
        .next()
        .with_context(|| format!("{host} has no address"))
}
