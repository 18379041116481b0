//! `trackops dev`: every role in one process on one SQLite file, with nothing else installed. The way from
//! order to outbox, relay, bus, inventory and back runs the same code as in production.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::lease_keeper::MembershipConnections;
use trackops_cluster::membership::NodeId;
use trackops_cluster::outage::causes;
use trackops_cluster::vital::Vital;

use super::access::{Access, Unless};
use super::cluster_admin::LateBoundClusterAdmin;
use super::cluster_clock::ClusterClock;
use super::consumer::Consumer;
use super::core::{self, CoreParts, MembershipFactory};
use super::late_bound::LateBoundOrders;
use super::lifecycle::{DEV_STOP, Ending, Lifecycle};
use super::listeners::{HttpListener, MANAGEMENT_LISTEN, Port};
use super::{checks, dead_letter_admin, exposure, limits, order_routes, tracking_links};
use crate::actors::settings::Settings;
use crate::api::admin::SagaAdmin;
use crate::api::probes::readiness::{Need, Readiness};
use crate::api::router;
use crate::api::served::Served;
use crate::api::state::{InventoryState, ManagementState};
use crate::auth::Auth;
use crate::cli::args::DevArgs;
use crate::cli::banner::{self, Running};
use crate::config::Config;
use crate::demo::{self, DemoSettings};
use crate::embedded::Embedded;
use crate::embedded::cache::MemoryCache;
use crate::inventory;
use crate::live::hub::Hub;
use crate::messaging::dead_letters::DeadLetters;
use crate::outbox::{Relay, RelaySettings};
use crate::ports::bus::Bus;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::retention;
use crate::telemetry::{self, prometheus};

/// The name of the only node, its consumers and its relay.
const NODE: &str = "dev";

/// Runs everything until a signal.
pub(super) async fn run(config: Config, args: DevArgs) -> anyhow::Result<()> {
    let metrics = prometheus::install()?;
    telemetry::zeros_of_orders();
    let limit = config.http.shutdown(DEV_STOP);
    let life = Lifecycle::start(limit)?;
    let (port, management_port) = open_ports(&config, &args)?;
    let clock = ClusterClock::new();
    let store = Embedded::open(&args.data_dir, Arc::clone(&clock) as _).await?;
    let bus = open_bus(&store).await?;

    let letters = DeadLetters::new(Arc::clone(&bus));
    let orders = LateBoundOrders::new(letters.clone());
    let hub = Hub::new();
    let readiness = readiness(&store);
    let cluster_view = LateBoundClusterAdmin::new();
    let journal = store.journal();

    let access = Access::start(
        &config.access,
        Unless::Open,
        Some(store.access()),
        Arc::clone(&clock) as _,
    )?;
    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    remove_daily(&store, config.stores.retention_days, &clock, &background);
    let (routes, watchers) = order_routes::routes(
        &orders,
        hub.clone(),
        Arc::clone(&journal),
        Arc::clone(&clock) as _,
        &access.auth,
        tracking_links::of_dev(&config.access, &args.data_dir, Arc::clone(&clock) as _)?,
        &config,
    );
    let routes = routes.merge(inventory_routes(&store));
    let management_routes = router::management_routes(ManagementState {
        readiness: Arc::clone(&readiness),
        metrics,
        orders: Some(Arc::clone(&orders) as _),
        cluster: Some(Arc::clone(&cluster_view) as _),
        sagas: Some(saga_admin(&store, &clock, &config)),
        outboxes: vec![store.orders_outbox(), store.inventory_outbox()],
        access: access.admin.clone(),
        dead_letters: Some(dead_letter_admin::of(letters)),
    });
    let (routes, management) = apart(
        routes,
        management_routes,
        management_port,
        &access.auth,
        limit / 16,
        config.http.docs,
    );

    let parts = core_parts(&store, journal, &clock, hub, cluster_view);
    let running = core::start(parts, Settings::from(&config.orders), &orders, &life).await?;
    let consumer = running.as_ref().map(|_| {
        let (answering, clock) = (Arc::clone(&orders) as _, Arc::clone(&clock) as _);
        Consumer::start(Arc::clone(&bus), answering, clock, NODE, &life)
    });
    let limited = limits::of_one(&config, &access.auth);
    let listener = port.serve(routes, access.auth.clone(), limited, limit / 2);
    let others = Others::start(&store, &bus, clock, limit, &life);
    if args.demo {
        let stop = others.stop.clone();
        others.tasks.spawn(shop(listener.addr(), bus, stop));
    }
    if running.is_some() {
        readiness.set_started();
        let management = management.as_ref().map(HttpListener::addr);
        print_banner(&config, &args, listener.addr(), management);
    }
    life.stopped().await;

    let ending = Ending::begin(limit);
    readiness.set_draining();
    others.stop.cancel();
    let finished = async {
        if let Some(consumer) = consumer {
            consumer.stop(ending.at(12)).await;
        }
    };
    tokio::join!(
        watchers.stop(listener, limit / 2),
        finished,
        others.end(ending.at(13))
    );
    if let Some(running) = running {
        running.stop(ending).await;
    }
    if let Some(management) = management {
        management.stop().await;
    }
    access.stop(ending.at(14)).await;
    close(&store, ending.at(15)).await;
    background.cancel();
    life.result()
}

/// The port of the API and, if it is configured, that of the management routes.
fn open_ports(config: &Config, args: &DevArgs) -> anyhow::Result<(Port, Option<Port>)> {
    let (http, is_protected) = (&config.http, config.access.is_required(false));
    anyhow::ensure!(
        !(args.demo && is_protected),
        "the shop of --demo has no key: leave --demo out, or set auth to open"
    );
    let public = Port::open(&http.listen, 8080, "--listen", config)?;
    let mut addresses = vec![(public.addr(), "--listen")];
    let mut management = None;
    if !http.management_listen.is_empty() {
        let port = Port::open_management(9080, config)?;
        addresses.push((port.addr(), MANAGEMENT_LISTEN));
        management = Some(port);
    }
    exposure::check(&addresses, is_protected || args.expose_unprotected)?;
    Ok((public, management))
}

/// Tells the person who has started it what to do next.
fn print_banner(
    config: &Config,
    args: &DevArgs,
    listen: SocketAddr,
    management: Option<SocketAddr>,
) {
    let banner = banner::banner(Running {
        listen,
        management,
        data_dir: &args.data_dir,
        demo: args.demo,
        has_docs: config.http.docs,
        needs_key: config.access.is_required(false),
    });
    print!("{banner}");
}

/// Serves the management routes on a port of their own, if there is one, while the rest starts; else merges them into
/// the public ones.
fn apart(
    public: Served,
    management: Served,
    port: Option<Port>,
    auth: &Auth,
    grace: Duration,
    has_ui: bool,
) -> (Router, Option<HttpListener>) {
    let is_open = !auth.is_required();
    match port {
        None => (
            router::public(public.merge(management), is_open, has_ui),
            None,
        ),
        Some(port) => {
            let management = router::management(management, is_open);
            let management = port.serve(management, auth.clone(), None, grace);
            (router::public(public, is_open, has_ui), Some(management))
        }
    }
}

/// Removes what is old, once a day.
fn remove_daily(
    store: &Embedded,
    days: u32,
    clock: &Arc<ClusterClock>,
    background: &CancellationToken,
) {
    for half in store.retention() {
        let clock = Arc::clone(clock) as _;
        tokio::spawn(retention::daily(half, days, clock, background.clone()));
    }
}

/// The order service on `store`, alone.
fn core_parts(
    store: &Embedded,
    journal: Arc<dyn Journal>,
    clock: &Arc<ClusterClock>,
    hub: Arc<Hub>,
    cluster_view: Arc<LateBoundClusterAdmin>,
) -> CoreParts {
    CoreParts {
        journal,
        cache: Arc::new(MemoryCache::new()),
        groups: store.groups(),
        sagas: store.sagas(),
        hub,
        clock: Arc::clone(clock),
        membership: store.membership(),
        keeper: keeper(store),
        node: NodeId(NODE.into()),
        timing: LeaseTiming::default(),
        shards: None,
        returning: false,
        cluster_view,
        links: None,
    }
}

/// The connections of the lease keeper. The file is this process's alone, so the lease never ends there.
fn keeper(store: &Embedded) -> MembershipFactory {
    let membership = store.membership();
    Box::new(move || MembershipConnections {
        renewals: Arc::clone(&membership),
        looks: membership,
    })
}

/// The bus, with its topics.
async fn open_bus(store: &Embedded) -> anyhow::Result<Arc<dyn Bus>> {
    let bus = store.bus();
    let created = bus.create_topics(&checks::topics()).await;
    created.context("can't create the topics")?;
    Ok(bus)
}

async fn close(store: &Embedded, end: Instant) {
    if tokio::time::timeout_at(end, store.close()).await.is_err() {
        tracing::warn!("the file did not close in time: its log is read at the next start");
    }
}

fn saga_admin(store: &Embedded, clock: &Arc<ClusterClock>, config: &Config) -> SagaAdmin {
    SagaAdmin {
        sagas: store.sagas(),
        clock: Arc::clone(clock) as _,
        stuck_after: config.orders.saga_stuck_after(),
    }
}

fn readiness(store: &Embedded) -> Arc<Readiness> {
    let readiness = Readiness::new();
    let journal = store.journal();
    readiness.ping("journal", Need::Required, move || {
        let journal = Arc::clone(&journal);
        async move { journal.ping().await.map_err(|error| causes(&error)) }
    });
    checks::started(&readiness);
    readiness
}

/// The routes that the role `inventory` serves on a port of its own.
fn inventory_routes(store: &Embedded) -> Served {
    router::public_inventory_routes(InventoryState {
        stock: store.stock(),
    })
}

/// The roles beside `order`.
struct Others {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Others {
    fn start(
        store: &Embedded,
        bus: &Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        stop_limit: Duration,
        life: &Lifecycle,
    ) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let parts = inventory::Parts {
            bus: Arc::clone(bus),
            groups: store.groups(),
            store: store.stock(),
            clock,
        };
        let vital = Vital::default();
        life.depend_on(&vital);
        let guard = vital.guard("inventory", &stop);
        tasks.spawn(guard.over(inventory::run(parts, NODE, stop.clone())));
        let guard = vital.guard("relay", &stop);
        tasks.spawn(guard.over(relay(store, bus, stop_limit, stop.clone())));
        Self { tasks, stop }
    }

    /// Waits for the stopped tasks, at most until `end`.
    async fn end(self, end: Instant) {
        self.tasks.close();
        if tokio::time::timeout_at(end, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "relay and inventory did not finish in time: they go on at the next start"
            );
        }
    }
}

fn relay(
    store: &Embedded,
    bus: &Arc<dyn Bus>,
    stop_limit: Duration,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let outboxes = vec![store.orders_outbox(), store.inventory_outbox()];
    let settings = RelaySettings::stopping_within(stop_limit * 3 / 4);
    let relay = Relay::new(outboxes, Arc::clone(bus), settings, NODE.into());
    async move { relay.run(stop).await }
}

async fn shop(listener: SocketAddr, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let url = format!("http://{}", loopback(listener));
    let settings = DemoSettings {
        inventory_url: url.clone(),
        url,
        bus,
        seed: None,
    };
    demo::run(settings, stop).await;
}

/// The address where the demo shop reaches a listener that may listen on every address.
fn loopback(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}
