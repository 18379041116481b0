//! `POST /orders` on `trackops dev`: `SQLite`, the embedded log, every role in one
//! process, with the saga running behind.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::checks::{ensure_no_violation, mean_batch};
use super::place::CONNECTIONS;
use crate::load::{Found, Outcome, Plan, Pool, highest, run as run_load};
use crate::order::PlaceOrders;
use crate::report::Section;
use crate::system::{Metrics, Role, Settings, start_dev};

const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PASSIVATE_LIVE_MS: &str = "5000";

/// Runs in a data directory of its own, under the reports: a temporary directory
/// may lie in memory, where a flush costs nothing.
pub async fn run(settings: &Settings) -> super::Found {
    let folder = settings.output.join(format!("{}-data", settings.tag));
    std::fs::create_dir_all(&folder)?;
    let found = run_in(settings, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    Ok(vec![found?])
}

async fn run_in(settings: &Settings, folder: &Path) -> Result<Section> {
    let extra = [(
        "TRACKOPS_PASSIVATE_LIVE_MS".to_owned(),
        PASSIVATE_LIVE_MS.to_owned(),
    )];
    let dev = start_dev(settings, folder, &extra).await?;
    dev.stock_catalogue().await?;
    let (found, created, unknown, batch) = search(settings, &dev).await?;
    ensure_no_violation(&[&dev]).await?;
    dev.stop().await?;
    let (orders, first_versions) = journal_rows(folder).await?;
    ensure!(
        (created..=created + unknown).contains(&orders) && orders == first_versions,
        "{created} orders were answered 201 ({unknown} unknown), SQLite has {orders} orders, {first_versions} first versions"
    );
    let Found {
        rate,
        outcome,
        attempts,
    } = found;
    let mut section = Section::new("embedded: place on SQLite (trackops dev)");
    section.row(
        "orders/s",
        format!("{:.0} (sent at {rate}/s)", outcome.rate),
    );
    section.latency("latency from the intended send time", &outcome.latency);
    section.row(
        "mean batch",
        batch.map_or("metric missing".to_owned(), |batch| {
            format!("{batch:.1} orders")
        }),
    );
    section.row("rows", format!("{orders} orders, as many as answers 201"));
    section.data = json!({
        "ordersPerSecond": outcome.rate, "sentPerSecond": rate, "latency": outcome.latency, "meanBatch": batch,
        "attempts": attempts, "rows": orders, "passivateLiveMs": PASSIVATE_LIVE_MS, "connections": CONNECTIONS,
    });
    Ok(section)
}

async fn search(settings: &Settings, dev: &Role) -> Result<(Found, u64, u64, Option<f64>)> {
    let orders = Arc::new(PlaceOrders::new(dev.public));
    let mut pool = Pool::open(dev.public, CONNECTIONS).await?;
    let (mut created, mut unknown, mut batch) = (0, 0, None);
    let found = highest(
        settings.limits(1000),
        async |plan: Plan| -> Result<Outcome> {
            let before = Metrics::read(dev).await?;
            let outcome = run_load(plan, &mut pool, Arc::clone(&orders)).await?;
            batch = mean_batch(&before, &Metrics::read(dev).await?);
            created += outcome.accepted;
            unknown += outcome.unknown;
            Ok(outcome)
        },
    )
    .await?;
    Ok((found, created, unknown, batch))
}

/// Orders and first versions in whichever `SQLite` file holds the journal.
async fn journal_rows(folder: &Path) -> Result<(u64, u64)> {
    for file in sqlite_files(folder)? {
        let mut connection = SqliteConnectOptions::new()
            .filename(&file)
            .connect()
            .await?;
        let tables: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('orders', 'order_events')",
        )
        .fetch_one(&mut connection)
        .await?;
        if tables == 2 {
            let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
                .fetch_one(&mut connection)
                .await?;
            let first: i64 =
                sqlx::query_scalar("SELECT count(*) FROM order_events WHERE version = 1")
                    .fetch_one(&mut connection)
                    .await?;
            connection.close().await?;
            return Ok((u64::try_from(orders)?, u64::try_from(first)?));
        }
    }
    anyhow::bail!(
        "no SQLite file with tables orders and order_events in {}",
        folder.display()
    )
}

fn sqlite_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context("read the data directory")? {
        let path = entry?.path();
        if path.is_file() && is_sqlite(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_sqlite(path: &Path) -> bool {
    let mut start = [0; SQLITE_MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *SQLITE_MAGIC
}
