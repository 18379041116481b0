//! `POST /orders`: the highest rate at which p99 stays within the limit, beside
//! pgbench doing the same three inserts. Once with the order role alone (Redis
//! written through, outbox rows written, no relay), once with the whole system.

use std::time::{Duration, Instant};

use serde_json::json;

use super::checks::{Told, ensure_durable, ensure_no_violation, mean_batch, outbox_drained};
use crate::load::{Found, Outcome, Plan, Pool, highest, run as run_load};
use crate::order::PlaceOrders;
use crate::pgbench::{self, Baseline};
use crate::report::Section;
use crate::system::{Databases, Deployment, Metrics, Role, Settings, execute};

/// Requests under way at most; at p99 of 50 ms this carries over 20,000 a second.
pub const CONNECTIONS: usize = 256;
/// Actors that have been idle this long end, as they would in any system that runs
/// for long: a run of minutes would otherwise measure only the time before that.
const PASSIVATE_LIVE_MS: &str = "5000";
/// Where the searches begin. One that begins too high leaves the whole system a backlog of sagas, which
/// takes the cores from the runs after it.
const ALONE_FROM: u32 = 8000;
const WHOLE_FROM: u32 = 1000;
/// With the relay stopped nobody answers the reservations: they would time out in the middle of the
/// search, and be asked again, 500 a second.
const NO_TIME_OUT_MS: &str = "3600000";
const DRAIN_MAX: Duration = Duration::from_mins(5);

/// What a search found, with what the server said about it.
struct Placed {
    found: Found,
    mean_batch: Option<f64>,
    told: Told,
}

/// Measures the baseline before and after, and both figures in between.
pub async fn run(settings: &Settings, databases: &Databases) -> super::Found {
    ensure_durable(settings).await?;
    prepare_log(settings).await?;
    let mut baseline = pgbench::measure(settings, databases).await?;
    checkpoint(settings).await?;
    let mut sections = vec![alone(settings, databases).await?];
    checkpoint(settings).await?;
    baseline.repeat(settings).await?;
    checkpoint(settings).await?;
    sections.push(whole(settings, databases).await?);
    for section in &mut sections {
        compare(section, &baseline);
    }
    sections.insert(0, baseline.section());
    Ok(sections)
}

/// Gives the server the log files of one that has run for a while. A new one fills each file of 16 MiB
/// with zeros when it is first needed, which stops every commit for 50 to 100 ms, twice a second at
/// these rates; after a checkpoint old files are used again. The server keeps them if its
/// `min_wal_size` says so.
async fn prepare_log(settings: &Settings) -> anyhow::Result<()> {
    let url = settings.postgres("postgres")?;
    let switches = settings.pick(16, 250);
    let switch = "DO $$ BEGIN FOR i IN 1..$n LOOP \
        PERFORM pg_logical_emit_message(true, 'bench', 'x'); PERFORM pg_switch_wal(); \
        END LOOP; END $$";
    execute(&url, &switch.replace("$n", &switches.to_string())).await?;
    checkpoint(settings).await
}

/// What one part wrote is flushed before the next is measured: each pays for its own pages.
async fn checkpoint(settings: &Settings) -> anyhow::Result<()> {
    execute(&settings.postgres("postgres")?, "CHECKPOINT").await
}

async fn alone(settings: &Settings, databases: &Databases) -> anyhow::Result<Section> {
    let deployment = Deployment::create(settings, databases, "place").await?;
    let keys_before = deployment.redis.keys().await?;
    let order = deployment
        .start(
            "order",
            &[
                ("TRACKOPS_PASSIVATE_LIVE_MS", PASSIVATE_LIVE_MS),
                ("TRACKOPS_RESERVATION_TIMEOUT_MS", NO_TIME_OUT_MS),
            ],
        )
        .await?;
    let found = search(
        settings,
        &deployment,
        &order,
        ALONE_FROM,
        Told::compare_with_outbox,
    );
    let placed = found.await?;
    ensure_no_violation(&[&order]).await?;
    let keys = deployment.redis.keys().await?.saturating_sub(keys_before);
    order.stop().await?;
    let rows = deployment.rows().await?;
    placed.told.compare_with_outbox(&rows)?;
    let mut section = placed.section("place: order role alone, relay stopped");
    section.note(format!(
        "reservations time out after {NO_TIME_OUT_MS} ms: without a relay nobody answers them"
    ));
    section.row("Redis keys written", keys.to_string());
    section.row(
        "rows",
        format!(
            "{} orders, {} events, {} outbox, as many as answers 201",
            rows.orders, rows.events, rows.outbox
        ),
    );
    section.data["rows"] = json!(rows);
    deployment.forget_keys().await?;
    Ok(section)
}

async fn whole(settings: &Settings, databases: &Databases) -> anyhow::Result<Section> {
    let deployment = Deployment::create(settings, databases, "whole").await?;
    let inventory = deployment.start("inventory", &[]).await?;
    inventory.stock_catalogue().await?;
    let relay = deployment.start("relay", &[]).await?;
    let order = deployment
        .start(
            "order",
            &[("TRACKOPS_PASSIVATE_LIVE_MS", PASSIVATE_LIVE_MS)],
        )
        .await?;
    let found = search(settings, &deployment, &order, WHOLE_FROM, Told::compare);
    let placed = found.await?;
    let behind = deployment.rows().await?;
    let started = Instant::now();
    let drained = outbox_drained(&deployment, DRAIN_MAX).await?;
    ensure_no_violation(&[&order, &inventory, &relay]).await?;
    for role in [order, relay, inventory] {
        role.stop().await?;
    }
    placed.told.compare(&deployment.rows().await?)?;
    let mut section = placed.section("place: whole system, saga running behind");
    section.row(
        "outbox after the confirming run",
        format!("{} rows", behind.outbox),
    );
    section.row(
        "outbox drained",
        match drained {
            Some(seconds) => format!("after {seconds:.1} s"),
            None => format!("NOT within {:.0} s", started.elapsed().as_secs_f64()),
        },
    );
    section.note("the outbox may lag behind while orders are placed at the highest rate: Kafka isn't in the way of an answer");
    section.data["outboxBehind"] = json!(behind.outbox);
    section.data["outboxDrainedSeconds"] = json!(drained);
    deployment.forget_keys().await?;
    Ok(section)
}

/// Looks for the highest rate, comparing answers with rows after every run.
async fn search(
    settings: &Settings,
    deployment: &Deployment<'_>,
    order: &Role,
    start_rate: u32,
    compare: fn(&Told, &crate::system::Rows) -> anyhow::Result<()>,
) -> anyhow::Result<Placed> {
    let orders = std::sync::Arc::new(PlaceOrders::new(order.public));
    let mut pool = Pool::open(order.public, CONNECTIONS).await?;
    let mut told = Told::default();
    let mut batch = None;
    let found = highest(
        settings.limits(start_rate),
        async |plan: Plan| -> anyhow::Result<Outcome> {
            let before = Metrics::read(order).await?;
            let outcome = run_load(plan, &mut pool, std::sync::Arc::clone(&orders)).await?;
            batch = mean_batch(&before, &Metrics::read(order).await?);
            told.add(&outcome);
            compare(&told, &deployment.rows().await?)?;
            Ok(outcome)
        },
    )
    .await?;
    Ok(Placed {
        found,
        mean_batch: batch,
        told,
    })
}

impl Placed {
    fn section(&self, title: &str) -> Section {
        let mut section = Section::new(title);
        let Found {
            rate,
            outcome,
            attempts,
        } = &self.found;
        section.row(
            "orders/s",
            format!("{:.0} (sent at {rate}/s)", outcome.rate),
        );
        section.latency("latency from the intended send time", &outcome.latency);
        section.row(
            "mean batch",
            self.mean_batch
                .map_or("metric missing".to_owned(), |batch| {
                    format!("{batch:.1} orders")
                }),
        );
        section.note(format!("{CONNECTIONS} connections; idle orders passivate after {PASSIVATE_LIVE_MS} ms; the last run decides"));
        section.data = json!({
            "ordersPerSecond": outcome.rate, "sentPerSecond": rate, "latency": outcome.latency,
            "meanBatch": self.mean_batch, "attempts": attempts, "told": self.told,
            "connections": CONNECTIONS, "passivateLiveMs": PASSIVATE_LIVE_MS,
        });
        section
    }
}

fn compare(section: &mut Section, baseline: &Baseline) {
    let orders = section.data["ordersPerSecond"].as_f64().unwrap_or(0.0);
    let ratio = orders / baseline.best();
    section.row(
        "against pgbench",
        format!("{ratio:.2} times {:.0}/s", baseline.best()),
    );
    section.data["ratio"] = json!(ratio);
}
