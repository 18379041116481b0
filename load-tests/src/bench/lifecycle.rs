//! Orders all the way: placed, reserved through Kafka, CONFIRMED seen on a
//! WebSocket, then PREPARING, `IN_TRANSIT` and DELIVERED by REST. First as many as
//! the system finishes with a fixed number under way, then at a fixed rate, the same
//! from version to version, for the time from `POST` to `CONFIRMED`.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

pub use self::journey::Journeys;
use self::journey::Travelled;
use super::checks::{ensure_durable, ensure_no_violation, outbox_drained};
use crate::numbers::to_u64;
use crate::report::Section;
use crate::system::{Databases, Deployment, Role, Settings, scalar};

mod journey;

/// Journeys under way at once in the first part; also the bound of the second.
const JOURNEYS_MAX: usize = 256;
/// The second part's orders a second, but no more than this part of what the first reached.
const STEADY_RATE: u32 = 500;
const STEADY_PERCENT_MAX: f64 = 60.0;
const DRAIN_MAX: Duration = Duration::from_mins(2);

/// Runs both parts on one deployment.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    let deployment = Deployment::create(settings, databases, "lifecycle").await?;
    let roles = start_all(&deployment, &[]).await?;
    let server = roles[0].public;

    let journeys = Journeys::connect(server).await?;
    journeys
        .travel(0, settings.pick(100, 1000), JOURNEYS_MAX)
        .await?;
    let full = journeys
        .travel(0, settings.pick(1000, 30_000), JOURNEYS_MAX)
        .await?;
    let rate = u32::try_from(to_u64(full.per_second * STEADY_PERCENT_MAX / 100.0))
        .unwrap_or(u32::MAX)
        .clamp(1, STEADY_RATE);
    let count = u64::from(rate) * settings.pick(3, 20);
    let steady = journeys.travel(rate, count, JOURNEYS_MAX * 4).await?;
    journeys.close().await?;

    let delivered = settings.pick(100, 1000) + full.count + steady.count;
    let rows = scalar(
        &deployment.orders_url,
        "SELECT count(*) FROM order_events WHERE version = 5",
    )
    .await?;
    ensure!(
        rows == delivered,
        "{delivered} orders were delivered, the journal has {rows} fifth versions"
    );
    let drained = outbox_drained(&deployment, DRAIN_MAX).await?;
    ensure!(
        drained.is_some(),
        "the outbox was not empty {DRAIN_MAX:?} after the last order"
    );
    let seen: Vec<_> = roles.iter().collect();
    ensure_no_violation(&seen).await?;
    for role in roles {
        role.stop().await?;
    }
    deployment.forget_keys().await?;
    Ok(vec![section(&full, &steady, rate, drained)])
}

/// The three roles of the whole system, order first, with a stocked catalogue.
pub async fn start_all(
    deployment: &Deployment<'_>,
    order_settings: &[(&str, &str)],
) -> Result<Vec<Role>> {
    let inventory = deployment.start("inventory", &[]).await?;
    inventory.stock_catalogue().await?;
    let relay = deployment.start("relay", &[]).await?;
    let order = deployment.start("order", order_settings).await?;
    Ok(vec![order, relay, inventory])
}

fn section(full: &Travelled, steady: &Travelled, rate: u32, drained: Option<f64>) -> Section {
    let mut section = Section::new("lifecycle: POST to DELIVERED over Kafka");
    section.row(
        "delivered",
        format!(
            "{:.0} orders/s with {JOURNEYS_MAX} under way",
            full.per_second
        ),
    );
    section.latency("  POST to CONFIRMED there", &full.confirmed);
    section.row(
        "steady",
        format!("{rate} orders/s sent, {:.0} delivered", steady.per_second),
    );
    section.latency("  POST to CONFIRMED", &steady.confirmed);
    section.latency("  POST to DELIVERED", &steady.delivered);
    section.note("CONFIRMED is when its WebSocket frame is read; each order takes 4 requests, 5 events, 6 outbox rows");
    section.note("steady times count from when the POST was due");
    section.data = json!({
        "full": full, "steady": steady, "steadySentPerSecond": rate,
        "journeysMax": JOURNEYS_MAX, "outboxDrainedSeconds": drained,
    });
    section
}
