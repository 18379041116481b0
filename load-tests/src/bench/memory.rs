//! Resident memory of the order role: for each live idle order, for each order
//! after passivation, for each idle WebSocket without and with a subscription.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use uuid::Uuid;

use super::checks::{Told, ensure_no_violation};
use super::placing::Placing;
use crate::live::{Fleet, Frame, Sink, subscribe};
use crate::load::{Plan, Pool, run as run_load};
use crate::numbers::to_f64;
use crate::report::Section;
use crate::system::{Databases, Deployment, Metrics, Role, Settings};

const PLACE_RATE: u32 = 5_000;
const CONNECTIONS: usize = 64;
/// Orders before the first reading, so that pools and caches are not counted.
const WARM_UP_ORDERS: u64 = 2_000;
/// jemalloc gives pages back over 10 s.
const SETTLE: Duration = Duration::from_secs(12);
const PASSIVATED_MAX: Duration = Duration::from_mins(1);
const LIVE: &str = "trackops_orders_live";
const NEVER_MS: &str = "86400000";
const SOON_MS: &str = "2000";

/// Both deployments one after the other.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    let mut section = Section::new("memory of the order role (VmRSS)");
    live_and_sockets(settings, databases, &mut section).await?;
    passivated(settings, databases, &mut section).await?;
    section.note(format!(
        "read {} s after the last request, when the allocator has given back what it will",
        SETTLE.as_secs()
    ));
    Ok(vec![section])
}

async fn live_and_sockets(
    settings: &Settings,
    databases: &Databases,
    section: &mut Section,
) -> Result<()> {
    let orders = settings.pick(10_000, 100_000);
    let sockets = settings.pick(1_000, 10_000);
    let deployment = Deployment::create(settings, databases, "live").await?;
    let role = start(&deployment, NEVER_MS).await?;
    place(&role, &deployment, WARM_UP_ORDERS, 0).await?;
    let before = settled(&role).await?;
    let ids = place(&role, &deployment, orders, WARM_UP_ORDERS).await?;
    let after = settled(&role).await?;
    let live = Metrics::read(&role)
        .await?
        .sum(LIVE)
        .with_context(|| format!("no metric {LIVE}"))?;
    ensure!(
        live >= to_f64(orders),
        "only {live} of {orders} orders are live"
    );
    let per_order = grown(before, after, orders);
    section.row(
        format!("live idle order, {orders} orders"),
        bytes(per_order),
    );

    let watching = Arc::new(Ignoring);
    let fleet = Fleet::connect(role.public, sockets, watching).await?;
    let connected = settled(&role).await?;
    let count = u64::try_from(sockets)?;
    let per_socket = grown(after, connected, count);
    for (number, id) in ids.iter().take(sockets).enumerate() {
        fleet.send(number, subscribe(*id, 1)).await?;
    }
    let subscribed = settled(&role).await?;
    let per_subscribed = grown(after, subscribed, count);
    fleet.check()?;
    section.row(format!("idle socket, {sockets} sockets"), bytes(per_socket));
    section.row("idle socket with one subscription", bytes(per_subscribed));
    section.data = json!({
        "orders": orders, "sockets": sockets, "liveOrderBytes": per_order,
        "socketBytes": per_socket, "subscribedSocketBytes": per_subscribed,
        "residentBytes": {"before": before, "placed": after, "connected": connected, "subscribed": subscribed},
    });
    section.note(format!(
        "live: TRACKOPS_PASSIVATE_LIVE_MS={NEVER_MS}; orders stay PENDING, without a relay"
    ));
    fleet.close().await;
    ensure_no_violation(&[&role]).await?;
    role.stop().await?;
    deployment.forget_keys().await?;
    Ok(())
}

async fn passivated(
    settings: &Settings,
    databases: &Databases,
    section: &mut Section,
) -> Result<()> {
    let orders = settings.pick(10_000, 100_000);
    let deployment = Deployment::create(settings, databases, "passive").await?;
    let role = start(&deployment, SOON_MS).await?;
    place(&role, &deployment, WARM_UP_ORDERS, 0).await?;
    no_longer_live(&role).await?;
    let before = settled(&role).await?;
    place(&role, &deployment, orders, WARM_UP_ORDERS).await?;
    no_longer_live(&role).await?;
    let after = settled(&role).await?;
    let per_order = grown(before, after, orders);
    section.row("order after passivation", bytes(per_order));
    section.note(format!(
        "passivated: TRACKOPS_PASSIVATE_LIVE_MS={SOON_MS}, read once {LIVE} is 0"
    ));
    section.data["passivatedOrderBytes"] = json!(per_order);
    section.data["passivatedResidentBytes"] = json!({"before": before, "after": after});
    ensure_no_violation(&[&role]).await?;
    role.stop().await?;
    deployment.forget_keys().await?;
    Ok(())
}

async fn start(deployment: &Deployment<'_>, passivate_ms: &str) -> Result<Role> {
    let extra = [
        ("TRACKOPS_PASSIVATE_LIVE_MS", passivate_ms),
        ("TRACKOPS_PASSIVATE_FINAL_MS", passivate_ms),
        ("TRACKOPS_ACTORS_MAX", "1000000"),
    ];
    deployment.start("order", &extra).await
}

/// Places `count` orders on top of `earlier` ones and gives the new ids.
async fn place(
    role: &Role,
    deployment: &Deployment<'_>,
    count: u64,
    earlier: u64,
) -> Result<Vec<Uuid>> {
    let placing = Arc::new(Placing::new(role.public));
    let mut pool = Pool::open(role.public, CONNECTIONS).await?;
    let plan = Plan::counted(PLACE_RATE, count);
    let outcome = run_load(plan, &mut pool, Arc::clone(&placing)).await?;
    ensure!(
        outcome.is_clean() && outcome.accepted == count,
        "place {count} orders: {}",
        outcome.describe()
    );
    Told {
        created: count + earlier,
        unknown: 0,
    }
    .compare_with_outbox(&deployment.rows().await?)?;
    Ok(placing.orders())
}

async fn no_longer_live(role: &Role) -> Result<()> {
    let deadline = Instant::now() + PASSIVATED_MAX;
    loop {
        // Not there before the server's first look at its actors.
        let live = Metrics::read(role).await?.sum(LIVE);
        if live == Some(0.0) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{live:?} orders are still live after {PASSIVATED_MAX:?}"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn settled(role: &Role) -> Result<u64> {
    tokio::time::sleep(SETTLE).await;
    let resident = role.resident_bytes()?;
    eprintln!("  resident: {} MiB", resident / 1024 / 1024);
    Ok(resident)
}

fn grown(before: u64, after: u64, count: u64) -> f64 {
    (to_f64(after) - to_f64(before)) / to_f64(count)
}

fn bytes(each: f64) -> String {
    format!("{each:.0} bytes ({:.1} KiB)", each / 1024.0)
}

/// Frames of idle sockets are of no interest.
struct Ignoring;

impl Sink for Ignoring {
    fn frame(&self, _frame: &Frame<'_>, _at: Instant) {}
}
