//! The role `inventory`: stock and reservations on PostgreSQL and Kafka.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trackops_cluster::vital::Vital;

use super::access::Access;
use super::lifecycle::{Ending, Lifecycle, ROLE_STOP};
use super::listeners::Port;
use super::{checks, dead_letter_admin, limits, servers};
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::state::{InventoryState, ManagementState};
use crate::config::Config;
use crate::inventory;
use crate::messaging::dead_letters::DeadLetters;
use crate::ports::bus::Bus;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::stock::StockStore;
use crate::postgres::Kind;
use crate::retention;
use crate::telemetry::prometheus;

/// Runs the role until a signal.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = prometheus::install()?;
    let limit = config.http.shutdown(ROLE_STOP);
    let life = Lifecycle::start(limit)?;
    let database = servers::open_database(
        config.inventory_database()?,
        Kind::Inventory,
        &config.stores,
    )?;
    let kafka = Arc::new(servers::open_bus(&config)?);
    let bus: Arc<dyn Bus> = Arc::clone(&kafka) as _;
    let public = Port::open(&config.http.listen, 8081, "--listen", &config)?;
    let management = Port::open_management(9081, &config)?;

    let stock: Arc<dyn StockStore> = Arc::new(database.stock());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let readiness = Readiness::new();
    checks::database(&readiness, "postgres", &database);
    checks::bus(&readiness, &bus);

    let access = Access::start_beside(&config, Arc::clone(&clock))?;
    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    tokio::spawn(retention::daily(
        Arc::new(database.retention()),
        config.stores.retention_days,
        Arc::clone(&clock),
        background.clone(),
    ));
    let public_routes = router::public_inventory_routes(InventoryState {
        stock: Arc::clone(&stock),
    });
    let public_routes = router::public(public_routes, !access.auth.is_required(), config.http.docs);
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: None,
        cluster: None,
        sagas: None,
        outboxes: vec![Arc::new(database.outbox())],
        access: access.admin.clone(),
        dead_letters: Some(dead_letter_admin::of(DeadLetters::new(Arc::clone(&bus)))),
    });
    let management = management.serve(
        router::management(management_routes, !access.auth.is_required()),
        access.auth.clone(),
        None,
        limit / 16,
    );
    let limited = limits::of_inventory(&config, &access.auth).await?;
    let public = public.serve(public_routes, access.auth.clone(), limited, limit / 2);
    tracing::info!(public = %public.addr(), management = %management.addr(), "role inventory");

    let consumer_stop = CancellationToken::new();
    let mut consumer = None;
    match checks::until_migrated(&database, &life).await {
        Ok(true) => {
            let parts = inventory::Parts {
                bus,
                groups: kafka,
                store: stock,
                clock,
            };
            let name = config.replica.name();
            let consuming = inventory::run(parts, &name, consumer_stop.clone());
            let vital = Vital::default();
            life.depend_on(&vital);
            let guard = vital.guard("consumer", &consumer_stop);
            consumer = Some(tokio::spawn(guard.over(consuming)));
            readiness.set_started();
            tracing::info!("ready");
        }
        Ok(false) => {}
        Err(error) => life.fail(error),
    }
    life.stopped().await;

    let ending = Ending::begin(limit);
    readiness.set_draining();
    consumer_stop.cancel();
    let finished = async {
        if let Some(consumer) = consumer
            && tokio::time::timeout_at(ending.at(13), consumer)
                .await
                .is_err()
        {
            tracing::warn!("the consumer did not close in time: its last messages will come again");
        }
    };
    tokio::join!(public.stop(), finished);
    management.stop().await;
    access.stop(ending.at(15)).await;
    background.cancel();
    life.result()
}
