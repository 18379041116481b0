//! `trackops migrate`: migrates both databases and creates every missing topic.

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use trackops_cluster::ShardCount;

use super::{checks, servers};
use crate::config::Config;
use crate::ports::access::AccessStore as _;
use crate::ports::bus::Bus as _;
use crate::postgres::{self, Kind};

/// Migrates the configured stores and prints what it did.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let shards = config.stores.shards_set().unwrap_or(ShardCount::DEFAULT);
    for (kind, url) in [
        (Kind::Orders, config.orders_database()?),
        (Kind::Inventory, config.inventory_database()?),
    ] {
        let done = postgres::migrate(url.expose_secret(), kind, true, shards)
            .await
            .with_context(|| format!("can't migrate the {} database", kind.as_str()))?;
        let made = if done.created { "created and " } else { "" };
        match done.shards {
            Some(count) => println!(
                "{} database: {made}up to date, {count} shards",
                kind.as_str()
            ),
            None => println!("{} database: {made}up to date", kind.as_str()),
        }
    }
    let topics = checks::topics();
    servers::open_bus(&config)?
        .create_topics(&topics)
        .await
        .context("can't create the topics")?;
    println!("topics: {} there", topics.len());
    if config.access.is_required(true) {
        let url = config.orders_database()?;
        let database = servers::open_database(url, Kind::Orders, &config.stores)?;
        if database.access().list_keys("", 1).await?.is_empty() {
            println!(
                "keys: none yet; make the first by `trackops keys create --name NAME --role operator`"
            );
        }
    }
    Ok(())
}
