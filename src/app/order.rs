//! The role `order`: REST, live tracking and order actors on PostgreSQL, Kafka and Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use trackops_cluster::keeper::Ways;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::membership::NodeId;

use super::cluster::LinkPort;
use super::cluster_clock::ClusterClock;
use super::cluster_desk::LateClusterDesk;
use super::core::{self, CoreParts, Deposed};
use super::late::LateOrders;
use super::lifecycle::{Ending, Lifecycle, ROLE_STOP};
use super::listeners::{Listener, Port};
use super::{checks, desk, face};
use crate::api::admin::SagaDesk;
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::state::ManagementState;
use crate::config::{Config, StoresConfig};
use crate::kafka::{KafkaBus, KafkaSettings};
use crate::live::hub::Hub;
use crate::messaging::dead_letters::DeadLetters;
use crate::ports::bus::Bus;
use crate::ports::cache::Cache;
use crate::ports::groups::Groups;
use crate::ports::journal::Journal;
use crate::postgres::{self, Database, Kind};
use crate::redis::{RedisCache, RedisSettings};
use crate::retention;
use crate::telemetry::{self, prometheus};

/// How long what is open between two incarnations may take to end: answers of one line.
const INTERIM_STOP: Duration = Duration::from_secs(1);

/// Runs the role until a signal. A replica whose lease has ended, as after the database was away for
/// longer than that, comes back as a new incarnation with nothing in memory; unless another has taken
/// its place.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = prometheus::install()?;
    telemetry::zeros_of_orders();
    let process = Lifecycle::start(config.http.shutdown(ROLE_STOP))?;
    let mut doors = Doors::open(&config)?;
    let mut returning = false;
    loop {
        let metrics = metrics.clone();
        let ended = run_incarnation(&config, metrics, &process, &mut doors, returning).await;
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
    process: &Lifecycle,
    doors: &mut Doors,
    returning: bool,
) -> anyhow::Result<()> {
    let links = LinkPort::open(&config.replica).await?;
    let limit = config.http.shutdown(ROLE_STOP);
    let adapters = Adapters::open(config).await?;
    let life = process.part();
    let letters = DeadLetters::new(Arc::clone(&adapters.bus));
    let orders = LateOrders::new(letters.clone());
    let hub = Hub::new();
    let readiness = adapters.readiness();
    let desk = LateClusterDesk::new();
    if links.is_some() {
        checks::links(&readiness, &desk);
    }

    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    tokio::spawn(retention::daily(
        Arc::new(adapters.database.retention()),
        config.stores.retention_days,
        Arc::clone(&adapters.clock) as _,
        background.clone(),
    ));
    let (public_routes, watchers) = face::routes(
        &orders,
        hub.clone(),
        Arc::clone(&adapters.journal),
        Arc::clone(&adapters.clock) as _,
        &config.live,
    );
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: Some(Arc::clone(&orders) as _),
        cluster: Some(Arc::clone(&desk) as _),
        sagas: Some(SagaDesk {
            sagas: Arc::new(adapters.database.sagas()),
            clock: Arc::clone(&adapters.clock) as _,
            stuck_after: config.orders.saga_stuck_after(),
        }),
        outboxes: vec![Arc::new(adapters.database.outbox())],
        dead_letters: Some(desk::of(letters)),
    });
    let management = doors.management()?.serve(
        management_routes.merge(router::problem_routes()),
        limit / 16,
    );
    let public = doors.public()?.serve(public_routes, limit / 2);
    doors.end_interim().await;
    tracing::info!(public = %public.addr(), management = %management.addr(), "role order");

    let parts = adapters.parts(config, hub, returning, desk, links);
    let running = match start(&adapters.database, parts, config, &orders, &life).await {
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

    let ending = Ending::begin(limit);
    readiness.set_draining();
    if let Some(running) = &running
        && process.is_stopping()
    {
        public.set_closing();
        let notice = async {
            if running.is_one_of_many() {
                tokio::time::sleep(config.http.notice().min(limit / 4)).await;
            }
        };
        // Whoever spreads the requests has heard of it before the listener is closed.
        tokio::join!(running.drain(limit / 4), notice);
    }
    if process.is_stopping() {
        doors.close();
    } else {
        doors.begin_interim();
    }
    let consumed = async {
        if let Some(running) = &running {
            running.stop_consuming(ending.at(12)).await;
        }
    };
    tokio::join!(watchers.stop(public, limit / 4), consumed);
    if let Some(running) = running {
        running.stop(ending).await;
    }
    management.stop().await;
    background.cancel();
    life.result()
}

/// Waits for the database, then for the shards; `None` if it was time to stop first.
async fn start(
    database: &Database,
    parts: CoreParts,
    config: &Config,
    orders: &Arc<LateOrders>,
    life: &Lifecycle,
) -> anyhow::Result<Option<core::Core>> {
    if !checks::until_migrated(database, life).await? {
        return Ok(None);
    }
    core::start(parts, core::settings(&config.orders), orders, life).await
}

/// The ports of the process. Every incarnation serves on them; while there is none, the public one
/// answers 503, so that a client is told to come back rather than refused.
struct Doors {
    /// Public and management; `None` once the process stops and refuses new connections.
    ports: Option<(Port, Port)>,
    interim: Option<Listener>,
}

impl Doors {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let public = Port::open(&config.http.listen, 8080, "--listen", &config.http)?;
        let management = Port::open(
            &config.http.management_listen,
            9080,
            "TRACKOPS_MANAGEMENT_LISTEN",
            &config.http,
        )?;
        Ok(Self {
            ports: Some((public, management)),
            interim: None,
        })
    }

    fn public(&self) -> anyhow::Result<Port> {
        let (public, _) = self.ports.as_ref().context("the listener is closed")?;
        Ok(public.clone())
    }

    fn management(&self) -> anyhow::Result<Port> {
        let (_, management) = self.ports.as_ref().context("the listener is closed")?;
        Ok(management.clone())
    }

    fn begin_interim(&mut self) {
        let public = self.ports.as_ref().map(|(public, _)| public.clone());
        self.interim = public.map(|port| port.serve(face::between(), INTERIM_STOP));
    }

    async fn end_interim(&mut self) {
        if let Some(interim) = self.interim.take() {
            interim.stop().await;
        }
    }

    fn close(&mut self) {
        self.ports = None;
    }
}

/// What an incarnation works with, made anew for each.
struct Adapters {
    database: Database,
    bus: Arc<dyn Bus>,
    groups: Arc<dyn Groups>,
    cache: Arc<dyn Cache>,
    clock: Arc<ClusterClock>,
    journal: Arc<dyn Journal>,
}

impl Adapters {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let database = open_database(config.orders_database()?, Kind::Orders, &config.stores)?;
        let bus = Arc::new(open_bus(config)?);
        let redis = RedisSettings::new(config.redis()?).with_prefix(&config.stores.redis_prefix);
        let cache = Arc::new(RedisCache::connect(redis).await?);
        Ok(Self {
            journal: Arc::new(database.journal()),
            database,
            groups: Arc::clone(&bus) as _,
            bus,
            cache,
            clock: ClusterClock::new(),
        })
    }

    fn readiness(&self) -> Arc<Readiness> {
        let readiness = Readiness::new();
        checks::database(&readiness, "postgres", &self.database);
        checks::started(&readiness);
        checks::bus(&readiness, &self.bus);
        checks::cache(&readiness, &self.cache);
        readiness
    }

    fn parts(
        &self,
        config: &Config,
        hub: Arc<Hub>,
        returning: bool,
        desk: Arc<LateClusterDesk>,
        links: Option<LinkPort>,
    ) -> CoreParts {
        let keeper_database = self.database.clone();
        CoreParts {
            journal: Arc::clone(&self.journal),
            cache: Arc::clone(&self.cache),
            bus: Arc::clone(&self.bus),
            groups: Arc::clone(&self.groups),
            sagas: Arc::new(self.database.sagas()),
            hub,
            clock: Arc::clone(&self.clock),
            membership: Arc::new(self.database.membership()),
            keeper: Some(Box::new(move || Ways {
                renewals: Arc::new(keeper_database.membership()),
                looks: Arc::new(keeper_database.membership()),
            })),
            node: NodeId(config.replica.name()),
            timing: LeaseTiming::of(Duration::from_millis(config.replica.lease_ms)),
            shards: config.stores.shards_set(),
            returning,
            desk,
            links,
        }
    }
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
        properties: kafka_security(&config.stores),
        prefix: config.stores.kafka_prefix.clone(),
        partitions: config.stores.kafka_partitions,
        replication: config.stores.kafka_replication,
        ..KafkaSettings::new(config.kafka()?)
    };
    KafkaBus::new(settings).context("kafka")
}

/// How the brokers are spoken to, in librdkafka's words; nothing where that is as usual.
fn kafka_security(stores: &StoresConfig) -> BTreeMap<String, String> {
    let said = [
        ("security.protocol", &stores.kafka_security_protocol),
        ("sasl.mechanism", &stores.kafka_sasl_mechanism),
        ("sasl.username", &stores.kafka_sasl_username),
        ("sasl.password", &stores.kafka_sasl_password),
    ];
    let is_plain = stores.kafka_security_protocol == "PLAINTEXT";
    said.into_iter()
        .filter(|(_, value)| !is_plain && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}
