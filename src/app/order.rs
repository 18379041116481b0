//! The role `order`: REST, live tracking and order actors on PostgreSQL, Kafka and Redis.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::lease_keeper::MembershipConnections;
use trackops_cluster::membership::NodeId;

use super::access::{Access, Unless};
use super::cluster::{LinkListener, LinkPort};
use super::cluster_admin::LateBoundClusterAdmin;
use super::cluster_clock::ClusterClock;
use super::consumer::Consumer;
use super::core::{self, Core, CoreParts};
use super::late_bound::{LateBoundOrders, LateBoundOwnership};
use super::lifecycle::{Ending, Lifecycle, ROLE_STOP};
use super::listeners::{HttpListener, Port};
use super::order_routes::{self, LiveConnections};
use super::replica::Deposed;
use super::{checks, dead_letter_admin, limits, servers, tracking_links};
use crate::actors::settings::Settings;
use crate::api::admin::SagaAdmin;
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::state::ManagementState;
use crate::config::Config;
use crate::live::hub::Hub;
use crate::messaging::dead_letters::DeadLetters;
use crate::ports::bus::Bus;
use crate::ports::cache::Cache;
use crate::ports::groups::Groups;
use crate::ports::journal::Journal;
use crate::ports::tokens::TokenStore;
use crate::postgres::{Database, Kind};
use crate::redis::{RedisCache, RedisSettings};
use crate::retention;
use crate::telemetry::{self, prometheus};

/// Runs the role until a signal. The ports, their connections and the consumer belong to the process. A
/// replica whose lease has ended, for example because the database was away for longer than the lease, comes
/// back behind them as a new incarnation with nothing in memory, unless another replica has taken its place.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = prometheus::install()?;
    telemetry::zeros_of_orders();
    let limit = config.http.shutdown(ROLE_STOP);
    let life = Lifecycle::start(limit)?;
    let public = Port::open(&config.http.listen, 8080, "--listen", &config)?;
    let management = Port::open_management(9080, &config)?;
    let link_listener = LinkListener::open(&config.replica).await?;
    let adapters = Adapters::open(&config).await?;
    let letters = DeadLetters::new(Arc::clone(&adapters.bus));
    let orders = LateBoundOrders::new(letters.clone());
    let hub = Hub::new();
    let cluster_view = LateBoundClusterAdmin::new();
    let tenure = Arc::new(LateBoundOwnership::default());
    let readiness = adapters.readiness(&tenure);
    if link_listener.is_some() {
        checks::links(&readiness, &cluster_view);
    }

    let access = Access::start(
        &config.access,
        Unless::Required,
        Some(Arc::new(adapters.database.access())),
        Arc::clone(&adapters.clock) as _,
    )?;
    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    tokio::spawn(retention::daily(
        Arc::new(adapters.database.retention()),
        config.stores.retention_days,
        Arc::clone(&adapters.clock) as _,
        background.clone(),
    ));
    let (public_routes, watchers) = order_routes::routes(
        &orders,
        hub.clone(),
        Arc::clone(&adapters.journal),
        Arc::clone(&adapters.clock) as _,
        &access.auth,
        tracking_links::of_role(&config.access, Arc::clone(&adapters.clock) as _)?,
        &config,
    );
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: Some(Arc::clone(&orders) as _),
        cluster: Some(Arc::clone(&cluster_view) as _),
        sagas: Some(SagaAdmin {
            sagas: Arc::new(adapters.database.sagas()),
            clock: Arc::clone(&adapters.clock) as _,
            stuck_after: config.orders.saga_stuck_after(),
        }),
        outboxes: vec![Arc::new(adapters.database.outbox())],
        access: access.admin.clone(),
        dead_letters: Some(dead_letter_admin::of(letters)),
    });
    let management = management.serve(
        router::management(management_routes, !access.auth.is_required()),
        access.auth.clone(),
        None,
        limit / 16,
    );
    let limited = limits::of_replica(
        &config,
        &access.auth,
        Arc::clone(&adapters.tokens),
        Arc::clone(&cluster_view),
    );
    let public = public.serve(
        router::public(public_routes, !access.auth.is_required(), config.http.docs),
        access.auth.clone(),
        limited,
        limit / 2,
    );
    tracing::info!(public = %public.addr(), management = %management.addr(), "role order");

    let mut replica = Replica {
        config: &config,
        adapters,
        link_listener,
        hub,
        orders,
        cluster_view,
        tenure,
        readiness,
        consumer: None,
        endings: TaskTracker::new(),
        stop_limit: limit,
    };
    let running = replica.live(&life).await;

    replica
        .stop(running, public, watchers, life.has_failed())
        .await;
    management.stop().await;
    access.stop(Instant::now() + limit / 16).await;
    background.cancel();
    life.result()
}

/// What the process keeps while incarnations come and go.
struct Replica<'a> {
    config: &'a Config,
    adapters: Adapters,
    /// For links to other replicas; `None` for one that is alone.
    link_listener: Option<LinkListener>,
    hub: Arc<Hub>,
    orders: Arc<LateBoundOrders>,
    cluster_view: Arc<LateBoundClusterAdmin>,
    tenure: Arc<LateBoundOwnership>,
    readiness: Arc<Readiness>,
    /// Runs since the first incarnation, and asks the one that answers.
    consumer: Option<Consumer>,
    /// Deposed incarnations that are ending. Each has a limit, and a lease had to run out before each.
    endings: TaskTracker,
    stop_limit: Duration,
}

impl Replica<'_> {
    /// Runs one incarnation after the other until `process` stops. Returns the last one, if it still runs.
    async fn live(&mut self, process: &Lifecycle) -> Option<Core> {
        let mut returning = false;
        loop {
            let life = process.part();
            let running = match self.start(returning, &life).await {
                Ok(running) => running,
                Err(error) => {
                    life.fail(error);
                    None
                }
            };
            if let Some(running) = &running {
                self.tenure.set(running.ownership());
                self.consume(process);
                self.readiness.set_started();
                tracing::info!("ready");
            }
            life.stopped().await;
            if process.is_stopping() {
                return running;
            }
            match life.result() {
                Err(error) if error.is::<Deposed>() => {
                    tracing::warn!(%error, "coming back as a new incarnation");
                    // A standby has not been replaced, so it stands by again.
                    returning |= running.is_some();
                    self.depose(running);
                }
                ended => {
                    process.fail(ended.err().unwrap_or_else(|| Deposed.into()));
                    return running;
                }
            }
        }
    }

    /// Waits for the database, then for the shards; `None` if it was time to stop first.
    async fn start(&self, returning: bool, life: &Lifecycle) -> anyhow::Result<Option<Core>> {
        let database = &self.adapters.database;
        if !checks::until_migrated(database, life).await? {
            return Ok(None);
        }
        let links = self
            .link_listener
            .as_ref()
            .map(LinkListener::port)
            .transpose()?;
        let parts = self.parts(returning, links);
        core::start(
            parts,
            Settings::from(&self.config.orders),
            &self.orders,
            life,
        )
        .await
    }

    /// What the incarnation has in memory no longer counts, and the next incarnation doesn't wait for it.
    fn depose(&self, over: Option<Core>) {
        self.orders.clear();
        self.tenure.clear();
        if let Some(over) = over {
            let limit = self.stop_limit;
            self.endings.spawn(over.abandon(limit));
        }
    }

    /// Ends everything within the limit. If nothing `has_failed`, other replicas take the shards first.
    async fn stop(
        self,
        running: Option<Core>,
        public: HttpListener,
        watchers: LiveConnections,
        has_failed: bool,
    ) {
        let limit = self.stop_limit;
        let ending = Ending::begin(limit);
        self.readiness.set_draining();
        if let Some(running) = &running
            && !has_failed
        {
            public.set_closing();
            let notice = async {
                if running.is_one_of_many() {
                    tokio::time::sleep(self.config.http.notice().min(limit / 4)).await;
                }
            };
            // The load balancer has time to notice before the listener closes.
            tokio::join!(running.drain(limit / 4), notice);
        }
        let consumer = self.consumer;
        let finished = async {
            if let Some(consumer) = consumer {
                consumer.stop(ending.at(12)).await;
            }
        };
        tokio::join!(watchers.stop(public, limit / 4), finished);
        // From here on new connections are refused, like those of links, instead of waiting unanswered.
        drop(self.link_listener);
        if let Some(running) = running {
            running.stop(ending).await;
        }
        self.endings.close();
        // They have limits of their own, and no request for which this process must answer.
        let _ = tokio::time::timeout_at(ending.at(14), self.endings.wait()).await;
    }

    fn consume(&mut self, process: &Lifecycle) {
        self.consumer.get_or_insert_with(|| {
            let answering = Arc::clone(&self.orders) as _;
            let (bus, clock) = (&self.adapters.bus, Arc::clone(&self.adapters.clock) as _);
            let name = self.config.replica.name();
            Consumer::start(Arc::clone(bus), answering, clock, &name, process)
        });
    }

    fn parts(&self, returning: bool, links: Option<LinkPort>) -> CoreParts {
        let (adapters, config) = (&self.adapters, self.config);
        let keeper_database = adapters.database.clone();
        CoreParts {
            journal: Arc::clone(&adapters.journal),
            cache: Arc::clone(&adapters.cache),
            groups: Arc::clone(&adapters.groups),
            sagas: Arc::new(adapters.database.sagas()),
            hub: Arc::clone(&self.hub) as _,
            clock: Arc::clone(&adapters.clock),
            membership: Arc::new(adapters.database.membership()),
            keeper: Box::new(move || MembershipConnections {
                renewals: Arc::new(keeper_database.membership()),
                looks: Arc::new(keeper_database.membership()),
            }),
            node: NodeId(config.replica.name()),
            timing: LeaseTiming::of(Duration::from_millis(config.replica.lease_ms)),
            shards: config.stores.shards_set(),
            returning,
            cluster_view: Arc::clone(&self.cluster_view),
            links,
        }
    }
}

/// What every incarnation is built from.
struct Adapters {
    database: Database,
    bus: Arc<dyn Bus>,
    groups: Arc<dyn Groups>,
    cache: Arc<dyn Cache>,
    tokens: Arc<dyn TokenStore>,
    clock: Arc<ClusterClock>,
    journal: Arc<dyn Journal>,
}

impl Adapters {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let database =
            servers::open_database(config.orders_database()?, Kind::Orders, &config.stores)?;
        let bus = Arc::new(servers::open_bus(config)?);
        let redis =
            RedisSettings::new(config.redis()?.clone()).with_prefix(&config.stores.redis_prefix);
        let cache = Arc::new(RedisCache::connect(redis).await?);
        Ok(Self {
            journal: Arc::new(database.journal()),
            database,
            groups: Arc::clone(&bus) as _,
            bus,
            tokens: Arc::new(cache.tokens()),
            cache,
            clock: ClusterClock::new(),
        })
    }

    fn readiness(&self, tenure: &Arc<LateBoundOwnership>) -> Arc<Readiness> {
        let readiness = Readiness::new();
        checks::database(&readiness, "postgres", &self.database);
        checks::tenure(&readiness, tenure);
        checks::bus(&readiness, &self.bus);
        checks::cache(&readiness, &self.cache);
        readiness
    }
}
