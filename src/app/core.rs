//! The order service over any adapters: runs one incarnation of a replica with its actors, and stops it in
//! order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use trackops_cluster::ShardCount;
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::{Lease, LeaseTiming};
use trackops_cluster::lease_keeper::{Kept, LeaseKeeper, LeaseState, MembershipConnections};
use trackops_cluster::link::Peer;
use trackops_cluster::membership::{Incarnation, Membership, NodeId};

use super::cluster::{Cluster, ClusterParts, LinkPort};
use super::cluster_admin::LateBoundClusterAdmin;
use super::cluster_clock::ClusterClock;
use super::late_bound::LateBoundOrders;
use super::lifecycle::{Ending, Lifecycle};
use super::replica::{self, Deposed};
use crate::actors::cache_gate::{CacheGate, CacheGateSettings};
use crate::actors::node::{Node, Parts};
use crate::actors::ownership::Ownership;
use crate::actors::saga_route::SagaRoute;
use crate::actors::settings::Settings;
use crate::actors::without_lease::WithoutLease;
use crate::faults;
use crate::inventory;
use crate::messaging;
use crate::ports::cache::Cache;
use crate::ports::groups::Groups;
use crate::ports::journal::Journal;
use crate::ports::live::LiveHub;
use crate::ports::sagas::Sagas;

/// How long a replica may take to end that was told to stop before it had its shards.
const START_STOP: Duration = Duration::from_secs(2);

/// Makes memberships on connections of their own, within the runtime that calls it.
pub(super) type MembershipFactory = Box<dyn FnOnce() -> MembershipConnections + Send>;

/// What the order service is built from.
pub(super) struct CoreParts {
    pub journal: Arc<dyn Journal>,
    pub cache: Arc<dyn Cache>,
    pub groups: Arc<dyn Groups>,
    pub sagas: Arc<dyn Sagas>,
    pub hub: Arc<dyn LiveHub>,
    pub clock: Arc<ClusterClock>,
    pub membership: Arc<dyn Membership>,
    /// For the lease keeper.
    pub keeper: MembershipFactory,
    pub node: NodeId,
    pub timing: LeaseTiming,
    /// The shard count of the configuration, if it names one.
    pub shards: Option<ShardCount>,
    /// This replica was deposed before: if it has no links and another replica owns shards, it doesn't wait
    /// for them.
    pub returning: bool,
    /// Where operators see nodes and shards.
    pub cluster_view: Arc<LateBoundClusterAdmin>,
    /// For links to other replicas; a replica without them owns every shard or none.
    pub links: Option<LinkPort>,
}

/// A running order service.
pub(super) struct Core {
    node: Arc<Node>,
    cluster: Cluster,
    keeper: LeaseKeeper,
}

/// Joins, starts and claims; then `orders` answers. `None` if it was time to stop before that.
pub(super) async fn start(
    parts: CoreParts,
    settings: Settings,
    orders: &LateBoundOrders,
    life: &Lifecycle,
) -> anyhow::Result<Option<Core>> {
    let Some((count, incarnation, sent)) = enter(&parts, life).await? else {
        return Ok(None);
    };
    let (me, returning) = (parts.me(incarnation), parts.returning);
    let directory = Directory::new(count);
    let kept = Kept {
        node: parts.node.clone(),
        incarnation,
        timing: parts.timing,
        lease: Lease::new(),
        directory: Arc::clone(&directory),
    };
    let lease = kept.lease.clone();
    let keeper = LeaseKeeper::start(parts.keeper, kept, sent)?;
    let ownership = Ownership::new(
        Arc::clone(&parts.membership),
        parts.node.clone(),
        incarnation,
        lease,
        count,
    );
    tokio::spawn(watch_lease(
        keeper.lease_state(),
        ownership.clone(),
        life.clone(),
    ));
    // No order may be placed by the machine's clock and judged by the authority's.
    if !replica::heard(&directory, life).await {
        replica::leave(&ownership).await;
        return Ok(None);
    }
    parts.clock.follow(Arc::clone(&directory));
    let gate = CacheGate::new(
        Arc::clone(&parts.cache),
        ownership.clone(),
        CacheGateSettings::default(),
    );
    // Linked replicas take over from one another by themselves.
    let without_lease = match parts.links {
        Some(_) => WithoutLease::Refuse,
        None => WithoutLease::AnswerReads(keeper.lease_state()),
    };
    let node_parts = Parts {
        journal: parts.journal,
        cache: parts.cache,
        gate,
        hub: Arc::clone(&parts.hub),
        clock: Arc::clone(&parts.clock) as _,
        ownership,
        without_lease,
        saga_route: Some(saga_route(parts.groups)),
        sagas: Some(parts.sagas),
    };
    let node = Node::start(node_parts, settings).await?;
    life.depend_on(node.vital());
    if returning {
        // The watched orders' listeners have outlived the incarnation that told them of changes.
        node.wake_watched();
    }
    let cluster = Cluster::start(ClusterParts {
        me,
        node: Arc::clone(&node),
        directory,
        membership: parts.membership,
        hub: parts.hub,
        port: parts.links,
        cluster_view: parts.cluster_view,
        clock: Arc::clone(&parts.clock) as _,
        shards: count,
    });
    cluster.depend(life);
    let core = Core {
        node,
        cluster,
        keeper,
    };
    match core.cluster.claims_done(returning, life).await {
        Ok(true) => {
            orders.set(Arc::clone(core.cluster.router()) as _);
            Ok(Some(core))
        }
        ended => {
            core.abandon(START_STOP).await;
            ended.map(|_| None)
        }
    }
}

impl CoreParts {
    /// This replica, as other replicas reach it. Nobody calls one without links, so its name serves as its
    /// address.
    fn me(&self, incarnation: Incarnation) -> Peer {
        Peer {
            node: self.node.clone(),
            incarnation,
            address: self.address().to_owned(),
        }
    }

    fn address(&self) -> &str {
        let linked = self.links.as_ref().map(|port| &port.address);
        linked.unwrap_or(&self.node.0)
    }
}

/// The groups that requests for stock and their answers pass.
fn saga_route(groups: Arc<dyn Groups>) -> SagaRoute {
    SagaRoute {
        groups,
        inventory: inventory::GROUP,
        replied: inventory::REPLIED_GROUP,
        orders: messaging::orders::GROUP,
    }
}

/// The shard count, the incarnation under which this replica joined, and the time before its join was sent.
/// `None` if it was time to stop before that.
async fn enter(
    parts: &CoreParts,
    life: &Lifecycle,
) -> anyhow::Result<Option<(ShardCount, Incarnation, Instant)>> {
    let Some(count) = replica::shard_count(&*parts.membership, parts.shards, life).await? else {
        return Ok(None);
    };
    let joined = replica::join(
        &*parts.membership,
        &parts.node,
        parts.address(),
        &parts.timing,
        life,
    )
    .await?;
    Ok(joined.map(|(incarnation, sent)| (count, incarnation, sent)))
}

/// When the replica is deposed, it stops writing and answering, and ends.
async fn watch_lease(
    mut lease_state: tokio::sync::watch::Receiver<LeaseState>,
    ownership: Arc<Ownership>,
    life: Lifecycle,
) {
    let deposed = lease_state.wait_for(|lease_state| *lease_state == LeaseState::Deposed);
    tokio::select! {
        // A lease keeper that is gone renews no more, so the replica counts as deposed.
        seen = deposed => if seen.is_ok() || !life.is_stopping() {
            ownership.suspend_all();
            life.fail(Deposed.into());
        },
        () = life.stopped() => {}
    }
}

impl Core {
    /// Whether other replicas may answer in its place.
    pub fn is_one_of_many(&self) -> bool {
        self.cluster.is_linked()
    }

    /// Gives the shards to other replicas, if there are any, while everything still answers.
    pub async fn drain(&self, limit: Duration) {
        self.cluster.drain(limit).await;
    }

    /// The replica's shards and its lease.
    pub fn ownership(&self) -> Arc<Ownership> {
        Arc::clone(self.node.ownership())
    }

    /// Finishes the admitted requests, then gives up the shards.
    pub async fn stop(self, ending: Ending) {
        faults::hang(faults::points::HANG_AT_STOP).await;
        let stopped = self.cluster.stop(ending.until(13));
        if tokio::time::timeout_at(ending.at(13), stopped)
            .await
            .is_err()
        {
            tracing::warn!("the links did not close in time");
        }
        self.node.shut_down(ending.until(14)).await;
        stop_keeper(self.keeper, ending.at(14)).await;
    }

    /// Stops a deposed incarnation: nobody waits for it, and others may call the next incarnation at once.
    pub async fn abandon(self, limit: Duration) {
        let ending = Ending::begin(limit);
        let abandoned = tokio::time::timeout_at(ending.at(13), self.cluster.abandon());
        if abandoned.await.is_err() {
            tracing::warn!("moves of shards hang still");
        }
        self.node.shut_down(ending.until(14)).await;
        stop_keeper(self.keeper, ending.at(15)).await;
    }
}

async fn stop_keeper(keeper: LeaseKeeper, end: Instant) {
    // This joins a thread, so it must not run on a thread of the runtime.
    let stopped = tokio::task::spawn_blocking(|| keeper.stop());
    if tokio::time::timeout_at(end, stopped).await.is_err() {
        tracing::warn!("a renewal of the lease is under way still");
    }
}
