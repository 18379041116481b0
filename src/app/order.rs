//! The role `order`: REST, live tracking and order actors on PostgreSQL, Kafka and Redis.

use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::membership::NodeId;

use super::core::{self, CoreParts, Deposed};
use super::late::LateOrders;
use super::lifecycle::{Lifecycle, ROLE_STOP};
use super::listeners::Port;
use super::{checks, desk, face};
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::state::ManagementState;
use crate::config::{Config, StoresConfig};
use crate::kafka::{KafkaBus, KafkaSettings};
use crate::live::hub::Hub;
use crate::messaging::dead_letters::DeadLetters;
use crate::ports::bus::Bus;
use crate::ports::cache::Cache;
use crate::ports::clock::{Clock, SystemClock};
use crate::ports::journal::Journal;
use crate::ports::outbox::Outbox;
use crate::postgres::{self, Database, Kind};
use crate::redis::{RedisCache, RedisSettings};
use crate::telemetry::{logs, prometheus};

/// Runs the role until a signal. A replica whose lease has ended, as after the database was away for
/// longer than that, comes back as a new incarnation with nothing in memory; unless another has taken
/// its place.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    logs::start(&config.log);
    let metrics = prometheus::install()?;
    let process = Lifecycle::start()?;
    let mut returning = false;
    loop {
        let ended = run_incarnation(&config, metrics.clone(), process.part(), returning).await;
        match ended {
            Err(error) if error.is::<Deposed>() && !process.is_stopping() => {
                tracing::warn!(%error, "coming back as a new incarnation");
                returning = true;
            }
            ended => return ended,
        }
    }
}

async fn run_incarnation(
    config: &Config,
    metrics: PrometheusHandle,
    life: Lifecycle,
    returning: bool,
) -> anyhow::Result<()> {
    let database = open_database(config.orders_database()?, Kind::Orders, &config.stores)?;
    let bus: Arc<dyn Bus> = Arc::new(open_bus(config)?);
    let redis = RedisSettings::new(config.redis()?).with_prefix(&config.stores.redis_prefix);
    let public = Port::open(&config.http.listen, 8080, "--listen", &config.http)?;
    let management = Port::open(
        &config.http.management_listen,
        9080,
        "TRACKOPS_MANAGEMENT_LISTEN",
        &config.http,
    )?;
    let limit = config.http.shutdown(ROLE_STOP);

    let cache: Arc<dyn Cache> = Arc::new(RedisCache::connect(redis).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let journal: Arc<dyn Journal> = Arc::new(database.journal());
    let outbox: Arc<dyn Outbox> = Arc::new(database.outbox());
    let letters = DeadLetters::new(Arc::clone(&bus));
    let orders = LateOrders::new(letters.clone());
    let hub = Hub::new();
    let readiness = Readiness::new();
    checks::database(&readiness, "postgres", &database);
    checks::started(&readiness);
    checks::bus(&readiness, &bus);
    checks::cache(&readiness, &cache);

    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    let (public_routes, watchers) = face::routes(
        &orders,
        hub.clone(),
        Arc::clone(&journal),
        Arc::clone(&clock),
        &config.live,
    );
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: Some(Arc::clone(&orders) as _),
        outboxes: vec![outbox],
        dead_letters: Some(desk::of(letters)),
    });
    let management = management.serve(management_routes, limit / 4);
    let public = public.serve(public_routes, limit / 2);
    tracing::info!(public = %public.addr(), management = %management.addr(), "role order");

    let keeper_database = database.clone();
    let parts = CoreParts {
        journal,
        cache,
        bus,
        hub,
        clock,
        membership: Arc::new(database.membership()),
        keeper: Some(Box::new(move || Arc::new(keeper_database.membership()))),
        node: NodeId(config.replica.name()),
        timing: LeaseTiming::of(std::time::Duration::from_millis(config.replica.lease_ms)),
        returning,
    };
    let started = async {
        if !checks::until_migrated(&database, &life).await? {
            return Ok(None);
        }
        core::start(parts, core::settings(&config.orders), &orders, &life).await
    };
    let running = match started.await {
        Ok(running) => running,
        Err(error) => {
            life.fail(error);
            None
        }
    };
    if running.is_some() {
        readiness.set_started();
        tracing::info!("ready");
    }
    life.stopped().await;

    readiness.set_draining();
    watchers.stop(public, limit / 2).await;
    if let Some(running) = running {
        running.stop(limit / 2).await;
    }
    management.stop().await;
    background.cancel();
    life.result()
}

pub(super) fn open_database(
    url: &str,
    kind: Kind,
    stores: &StoresConfig,
) -> anyhow::Result<Database> {
    let settings = postgres::Settings {
        append_connections: stores.append_connections,
        read_connections: stores.read_connections,
        ..postgres::Settings::default()
    };
    Database::open(url, kind, settings).with_context(|| format!("{} database", kind.as_str()))
}

pub(super) fn open_bus(config: &Config) -> anyhow::Result<KafkaBus> {
    let settings = KafkaSettings {
        prefix: config.stores.kafka_prefix.clone(),
        partitions: config.stores.kafka_partitions,
        replication: config.stores.kafka_replication,
        ..KafkaSettings::new(config.kafka()?)
    };
    KafkaBus::new(settings).context("kafka")
}
