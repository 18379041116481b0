//! The role `relay`: the outboxes of both databases to Kafka.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trackops_cluster::vital::Vital;

use super::access::{Access, Unless};
use super::lifecycle::{Ending, Lifecycle, ROLE_STOP};
use super::listeners::Port;
use super::{checks, dead_letter_admin, limits, servers};
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::served::Served;
use crate::api::state::ManagementState;
use crate::config::Config;
use crate::messaging::dead_letters::DeadLetters;
use crate::outbox::{Relay, RelaySettings};
use crate::ports::bus::Bus;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::ports::outbox::Outbox;
use crate::postgres::Kind;
use crate::telemetry::prometheus;

/// Runs the role until a signal. It has no public routes: its listener is the management one.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = prometheus::install()?;
    let limit = config.http.shutdown(ROLE_STOP);
    let life = Lifecycle::start(limit)?;
    let orders = servers::open_database(config.orders_database()?, Kind::Orders, &config.stores)?;
    let inventory = servers::open_database(
        config.inventory_database()?,
        Kind::Inventory,
        &config.stores,
    )?;
    let bus: Arc<dyn Bus> = Arc::new(servers::open_bus(&config)?);
    let public = Port::open(&config.http.listen, 8082, "--listen", &config)?;
    let management = Port::open_management(9082, &config)?;

    let outboxes: Vec<Arc<dyn Outbox>> =
        vec![Arc::new(orders.outbox()), Arc::new(inventory.outbox())];
    let readiness = Readiness::new();
    checks::database(&readiness, "postgres-orders", &orders);
    checks::database(&readiness, "postgres-inventory", &inventory);
    checks::bus(&readiness, &bus);

    let access = Access::start(
        &config.access,
        Unless::Required,
        Some(Arc::new(orders.access())),
        Arc::new(SystemClock),
    )?;
    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: None,
        cluster: None,
        sagas: None,
        outboxes: outboxes.clone(),
        access: access.admin.clone(),
        dead_letters: Some(dead_letter_admin::of(DeadLetters::new(Arc::clone(&bus)))),
    });
    let management = management.serve(
        router::management(management_routes, !access.auth.is_required()),
        access.auth.clone(),
        None,
        limit / 16,
    );
    let public = public.serve(
        router::public(
            Served::default(),
            !access.auth.is_required(),
            config.http.docs,
        ),
        access.auth.clone(),
        limits::of_one(&config, &access.auth),
        limit / 4,
    );
    tracing::info!(public = %public.addr(), management = %management.addr(), "role relay");

    let relay_stop = CancellationToken::new();
    let mut relay = None;
    let migrated = async {
        Ok::<_, anyhow::Error>(
            checks::until_migrated(&orders, &life).await?
                && checks::until_migrated(&inventory, &life).await?,
        )
    };
    match migrated.await {
        Ok(true) => {
            // A new name at every start: the outbox lanes of a killed predecessor are free when their leases
            // end, and none of them can be taken for ours.
            let holder = format!("{}-{}", config.replica.name(), SystemClock.uuid_v7());
            let settings = RelaySettings::stopping_within(limit * 3 / 4);
            let running = Relay::new(outboxes, bus, settings, holder);
            let stop = relay_stop.clone();
            let vital = Vital::default();
            life.depend_on(&vital);
            let guard = vital.guard("relay", &stop);
            relay = Some(tokio::spawn(
                guard.over(async move { running.run(stop).await }),
            ));
            readiness.set_started();
            tracing::info!("ready");
        }
        Ok(false) => {}
        Err(error) => life.fail(error),
    }
    life.stopped().await;

    let ending = Ending::begin(limit);
    readiness.set_draining();
    relay_stop.cancel();
    let relayed = async {
        if let Some(relay) = relay
            && tokio::time::timeout_at(ending.at(13), relay).await.is_err()
        {
            tracing::warn!("the relay did not finish in time: what it had sent is sent again");
        }
    };
    tokio::join!(public.stop(), relayed);
    management.stop().await;
    access.stop(ending.at(15)).await;
    background.cancel();
    life.result()
}
