//! `trackops dev`: every role in one process on one SQLite file, with nothing else installed. Order,
//! outbox, relay, bus, inventory and back run the same code as in production.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::lease::LeaseTiming;
use trackops_cluster::membership::NodeId;

use super::core::{self, CoreParts};
use super::late::LateOrders;
use super::lifecycle::{DEV_STOP, Lifecycle};
use super::listeners::Port;
use super::{checks, desk, order};
use crate::api::probes::readiness::Readiness;
use crate::api::router;
use crate::api::state::{ApiState, InventoryState, ManagementState};
use crate::api::track::{self, TrackState};
use crate::cli::args::DevArgs;
use crate::cli::banner;
use crate::config::Config;
use crate::demo::{self, DemoSettings};
use crate::embedded::Embedded;
use crate::embedded::cache::MemoryCache;
use crate::inventory;
use crate::live::hub::Hub;
use crate::messaging::dead_letters::DeadLetters;
use crate::outbox::{Relay, RelaySettings};
use crate::ports::cache::Cache;
use crate::ports::clock::{Clock, SystemClock};
use crate::telemetry::{logs, prometheus};

/// The name of the only node, its consumers and its relay.
const NODE: &str = "dev";

/// Runs everything until a signal.
pub(super) async fn run(config: Config, args: DevArgs) -> anyhow::Result<()> {
    logs::start(&config.log);
    let metrics = prometheus::install()?;
    let life = Lifecycle::start()?;
    let port = Port::open(&config.http.listen, 8080, "--listen", &config.http)?;
    let limit = config.http.shutdown(DEV_STOP);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Embedded::open(&args.data_dir, Arc::clone(&clock)).await?;
    let bus = store.bus();
    bus.create_topics(&checks::topics())
        .await
        .context("can't create the topics")?;

    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new());
    let letters = DeadLetters::new(Arc::clone(&bus));
    let orders = LateOrders::new(letters.clone());
    let hub = Hub::new();
    let readiness = Readiness::new();
    let journal = store.journal();
    let pinged = store.journal();
    readiness.ping(
        "journal",
        crate::api::probes::readiness::Need::Required,
        move || {
            let journal = Arc::clone(&pinged);
            async move { journal.ping().await }
        },
    );
    checks::started(&readiness);

    let background = CancellationToken::new();
    tokio::spawn(prometheus::upkeep(metrics.clone(), background.clone()));
    let live_stop = CancellationToken::new();
    let mut track = TrackState::new(Arc::clone(&orders) as _, hub.clone(), live_stop.clone());
    track.limits = Arc::new(order::track_limits(&config));
    let connections = track.connections.clone();
    let api = ApiState {
        orders: Arc::clone(&orders) as _,
        journal: Arc::clone(&journal),
        clock: Arc::clone(&clock),
    };
    let routes = router::public_order_routes(api)
        .merge(track::routes(track))
        .merge(router::public_inventory_routes(InventoryState {
            stock: store.stock(),
        }))
        .merge(router::document_routes())
        .merge(router::front_page_routes())
        .merge(router::management_routes(ManagementState {
            readiness: Arc::clone(&readiness),
            metrics,
            orders: Some(Arc::clone(&orders) as _),
            outboxes: vec![store.orders_outbox(), store.inventory_outbox()],
            dead_letters: Some(desk::of(letters)),
        }));

    let parts = CoreParts {
        journal,
        cache,
        bus: Arc::clone(&bus),
        hub,
        clock: Arc::clone(&clock),
        membership: store.membership(),
        keeper: None,
        node: NodeId(NODE.into()),
        timing: LeaseTiming::default(),
        returning: false,
    };
    let running = core::start(parts, core::settings(&config.orders), &orders, &life).await?;
    let listener = port.serve(routes, limit / 2);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(inventory::runner(Arc::clone(&bus), store.stock(), clock, NODE).run(stop.clone()));
    let outboxes = vec![store.orders_outbox(), store.inventory_outbox()];
    let relay = Relay::new(
        outboxes,
        Arc::clone(&bus),
        RelaySettings::default(),
        NODE.into(),
    );
    let relay_stop = stop.clone();
    tasks.spawn(async move { relay.run(relay_stop).await });
    if args.demo {
        let url = format!("http://{}", loopback(listener.addr()));
        let shop = DemoSettings {
            inventory_url: url.clone(),
            url,
            bus: Arc::clone(&bus),
            seed: None,
        };
        tasks.spawn(demo::run(shop, stop.clone()));
    }
    if running.is_some() {
        readiness.set_started();
        print!(
            "{}",
            banner::banner(listener.addr(), &args.data_dir, args.demo)
        );
    }
    life.stopped().await;

    readiness.set_draining();
    live_stop.cancel();
    stop.cancel();
    connections.close();
    tokio::join!(listener.stop(), async {
        let _ = tokio::time::timeout(limit / 2, connections.wait()).await;
    });
    if let Some(running) = running {
        running.stop(limit / 2).await;
    }
    tasks.close();
    if tokio::time::timeout(limit / 2, tasks.wait()).await.is_err() {
        tracing::warn!("relay and inventory did not finish in time: they go on at the next start");
    }
    store.close().await;
    background.cancel();
    life.result()
}

/// Where the shop reaches a listener that may be on every address.
fn loopback(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}
