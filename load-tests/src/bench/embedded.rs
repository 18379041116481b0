//! `POST /orders` on `trackops dev`: `SQLite`, the embedded log, every role in one
//! process, with the saga running behind.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::checks::{
    CONFIRMED, PLACED, SETTLED, TRANSITIONS, Told, ensure_no_violation, mean_batch,
};
use super::place::CONNECTIONS;
use crate::load::{Found, Outcome, Plan, Pool, highest, run as run_load};
use crate::order::PlaceOrders;
use crate::report::Section;
use crate::system::{Metrics, Role, Settings, start_dev};

const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PASSIVATE_LIVE_MS: &str = "5000";
/// The saga of what was placed has to come to its end, however far behind it is.
const DRAIN_MAX: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(250);

/// What the search found, and what was counted beside it.
struct Searched {
    found: Found,
    told: Told,
    batch: Option<f64>,
    /// Confirmations a second while the last run placed.
    confirmed_per_second: f64,
}

/// Runs in a data directory of its own, under the reports: a temporary directory
/// may lie in memory, where a flush costs nothing.
pub async fn run(settings: &Settings) -> Result<Vec<Section>> {
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
    let Searched {
        found,
        told,
        batch,
        confirmed_per_second,
    } = search(settings, &dev).await?;
    let drained_seconds = drained(&dev).await?;
    ensure_no_violation(&[&dev]).await?;
    dev.stop().await?;
    let rows = journal_rows(folder).await?;
    told.compare_journal(rows.orders, rows.first_versions)?;
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
    section.row(
        "confirmed meanwhile",
        format!(
            "{confirmed_per_second:.0}/s, none pending {drained_seconds:.1} s after the last answer"
        ),
    );
    section.row(
        "rows",
        format!(
            "{} orders, as many as answers 201; {} of them not CONFIRMED",
            rows.orders,
            rows.orders - rows.confirmed
        ),
    );
    section.data = json!({
        "ordersPerSecond": outcome.rate, "sentPerSecond": rate, "latency": outcome.latency, "meanBatch": batch,
        "attempts": attempts, "rows": rows.orders, "confirmed": rows.confirmed, "confirmedPerSecond": confirmed_per_second,
        "drainedSeconds": drained_seconds, "passivateLiveMs": PASSIVATE_LIVE_MS, "connections": CONNECTIONS,
    });
    Ok(section)
}

async fn search(settings: &Settings, dev: &Role) -> Result<Searched> {
    let orders = Arc::new(PlaceOrders::new(dev.public));
    let mut pool = Pool::open(dev.public, CONNECTIONS).await?;
    let (mut told, mut batch, mut confirmed_per_second) = (Told::default(), None, 0.0);
    let found = highest(
        settings.limits(1000),
        async |plan: Plan| -> Result<Outcome> {
            let (start, before) = (Instant::now(), Metrics::read(dev).await?);
            let outcome = run_load(plan, &mut pool, Arc::clone(&orders)).await?;
            let (seconds, after) = (start.elapsed().as_secs_f64(), Metrics::read(dev).await?);
            batch = mean_batch(&before, &after);
            let confirmed = |metrics: &Metrics| metrics.labelled(TRANSITIONS, CONFIRMED);
            confirmed_per_second = (confirmed(&after) - confirmed(&before)) / seconds;
            told.add(&outcome);
            Ok(outcome)
        },
    )
    .await?;
    Ok(Searched {
        found,
        told,
        batch,
        confirmed_per_second,
    })
}

/// Seconds until no order is pending any more.
async fn drained(dev: &Role) -> Result<f64> {
    let start = Instant::now();
    loop {
        let metrics = Metrics::read(dev).await?;
        let count = |label| metrics.labelled(TRANSITIONS, label);
        let pending = count(PLACED) - count(SETTLED);
        if pending <= 0.0 {
            return Ok(start.elapsed().as_secs_f64());
        }
        ensure!(
            start.elapsed() < DRAIN_MAX,
            "{pending} orders are still pending after {DRAIN_MAX:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// What the journal holds.
struct JournalRows {
    orders: u64,
    first_versions: u64,
    confirmed: u64,
}

/// Counts in whichever `SQLite` file holds the journal.
async fn journal_rows(folder: &Path) -> Result<JournalRows> {
    const TABLES: &str =
        "SELECT count(*) FROM sqlite_master WHERE name IN ('orders', 'order_events')";
    for file in sqlite_files(folder)? {
        let options = SqliteConnectOptions::new().filename(&file);
        let mut connection = options.connect().await?;
        let mut count = async |sql: &'static str| -> Result<u64> {
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
            Ok(u64::try_from(count)?)
        };
        if count(TABLES).await? == 2 {
            return Ok(JournalRows {
                orders: count("SELECT count(*) FROM orders").await?,
                first_versions: count("SELECT count(*) FROM order_events WHERE version = 1")
                    .await?,
                confirmed: count("SELECT count(*) FROM orders WHERE status = 'CONFIRMED'").await?,
            });
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
