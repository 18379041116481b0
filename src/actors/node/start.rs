//! Starts a replica: puts the parts together, and starts writer, supervisors, sweeper and scanner. The caller
//! claims the shards.

use std::sync::{Arc, OnceLock, Weak};

use ractor::Actor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::vital::Vital;

use super::running_node::Node;
use crate::actors::admission::Admission;
use crate::actors::announcer::Announcer;
use crate::actors::cache_gate::CacheGate;
use crate::actors::context::Context;
use crate::actors::live_orders::LiveOrders;
use crate::actors::ownership::Ownership;
use crate::actors::positions::Positions;
use crate::actors::saga_route::SagaRoute;
use crate::actors::scanner::{self, ScannerParts};
use crate::actors::settings::Settings;
use crate::actors::shard::Shard;
use crate::actors::supervisor::NodeSupervisor;
use crate::actors::sweeper;
use crate::actors::without_lease::WithoutLease;
use crate::actors::writer::{Shared, Writer};
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::live::LiveHub;
use crate::ports::orders::Orders;
use crate::ports::sagas::Sagas;

/// What a node is built from.
pub struct Parts {
    /// Where orders are stored.
    pub journal: Arc<dyn Journal>,
    /// Where views are cached.
    pub cache: Arc<dyn Cache>,
    /// The guard before the cache.
    pub gate: Arc<CacheGate>,
    /// Listeners.
    pub hub: Arc<dyn LiveHub>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Shards and lease.
    pub ownership: Arc<Ownership>,
    /// What is still answered once the lease has run out.
    pub without_lease: WithoutLease,
    /// The groups that requests for stock pass. `None` where no groups can be asked; then none is known to be
    /// behind.
    pub saga_route: Option<SagaRoute>,
    /// The waiting orders, to count the stuck ones; `None` where nobody needs the count.
    pub sagas: Option<Arc<dyn Sagas>>,
}

impl Node {
    /// Starts everything but the claims: the coordinator makes them.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Arc<Self>, ractor::SpawnErr> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let vital = Vital::default();
        let journal = Arc::clone(&parts.journal);
        let announcer = Announcer::start(journal, &tasks, &vital, stop.clone());
        let shared = Shared::new(
            Arc::clone(&parts.journal),
            Arc::clone(&parts.ownership),
            Arc::clone(&parts.gate),
            announcer,
            tasks.clone(),
        );
        let context = Arc::new(Context {
            writer: Writer::start(&shared, settings.commit_queues, &vital, &stop),
            positions: Positions::start(parts.cache, Arc::clone(&parts.gate), &tasks, stop.clone()),
            admission: Admission::new(&settings),
            clock: parts.clock,
            ownership: parts.ownership,
            hub: parts.hub,
            settings,
        });
        let count = context.ownership.count();
        let live = LiveOrders::new(&context.settings, count);
        let shards: Arc<[Arc<Shard>]> = count
            .iter()
            .map(|id| Shard::new(id, Arc::clone(&context), Arc::clone(&live)))
            .collect();
        let (supervisor, _) = Actor::spawn(None, NodeSupervisor, shards.to_vec()).await?;
        let node = Arc::new_cyclic(|itself| Self {
            itself: Weak::clone(itself),
            context,
            journal: parts.journal,
            gate: parts.gate,
            shards,
            without_lease: parts.without_lease,
            supervisor,
            tasks,
            stop,
            vital,
            followers: OnceLock::new(),
        });
        node.spawn_tasks(
            live,
            ScannerParts {
                route: parts.saga_route,
                sagas: parts.sagas,
            },
        );
        Ok(node)
    }

    /// Starts the sweeper and the deadline scanner.
    fn spawn_tasks(self: &Arc<Self>, live: Arc<LiveOrders>, watched: ScannerParts) {
        let context = Arc::clone(&self.context);
        let shards = Arc::clone(&self.shards);
        let sweeping = sweeper::run(live, Arc::clone(&context), shards, self.stop.clone());
        let guard = self.vital.guard("sweeper", &self.stop);
        self.tasks.spawn(guard.over(sweeping));
        let orders: Arc<dyn Orders> = Arc::clone(self) as _;
        let journal = Arc::clone(&self.journal);
        let scanning = scanner::run(context, orders, journal, watched, self.stop.clone());
        let guard = self.vital.guard("deadline scanner", &self.stop);
        self.tasks.spawn(guard.over(scanning));
    }
}
