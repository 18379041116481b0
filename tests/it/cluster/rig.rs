//! Replicas `a`, `b`, … that share a journal; shards move when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use trackops::actors::cache_gate::{CacheGate, CacheGateSettings};
use trackops::actors::node::{Node, Parts};
use trackops::actors::ownership::Ownership;
use trackops::actors::settings::Settings;
use trackops::actors::without_lease::WithoutLease;
use trackops::embedded::cache::MemoryCache;
use trackops::live::hub::Hub;
use trackops::live::mirror_settings::MirrorSettings;
use trackops::model::order_answer::Done;
use trackops::model::order_request::keyed_order_id;
use trackops::model::orders_error::OrdersError;
use trackops::ports::clock::SystemClock;
use trackops::ports::live::LiveHub;
use trackops::ports::orders::OrdersExt;
use trackops::router::{Router, RouterParts, RouterSettings};
use trackops_cluster::coordinator::Shards as _;
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::Lease;
use trackops_cluster::link::Peer;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, NodeId, NodeView, ShardView,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;

use super::links::{MemoryLinks, Network};
use crate::actors::rig::{execute, request, settings};
use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::MemoryMembership;

pub const NAMES: [&str; 3] = ["a", "b", "c"];
const COUNT: u16 = 8;

/// One replica.
pub struct Replica {
    pub peer: Peer,
    pub node: Arc<Node>,
    pub router: Arc<Router>,
    pub directory: Arc<Directory>,
    pub hub: Arc<Hub>,
    /// Without an end, until a test ends it.
    pub lease: Lease,
    /// Hears nothing of the authority.
    deaf: Arc<AtomicBool>,
}

/// All of them, and the authority.
pub struct Cluster {
    pub journal: MemoryJournal,
    pub network: Arc<Network>,
    pub replicas: Vec<Replica>,
    truth: Arc<Mutex<ClusterView>>,
}

impl Cluster {
    /// Three replicas; `a` owns every shard.
    pub async fn new() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let journal = MemoryJournal::default();
        let network = Arc::new(Network::default());
        let count = ShardCount::new(COUNT).expect("in range");
        let truth = ClusterView {
            nodes: NAMES.map(view_of).into(),
            shards: count
                .iter()
                .map(|shard| ShardView {
                    shard,
                    epoch: Epoch(0),
                    owner: None,
                })
                .collect(),
            ..ClusterView::default()
        };
        let truth = Arc::new(Mutex::new(truth));
        let mut replicas = Vec::new();
        for name in NAMES {
            let replica = start(name, &journal, &network, &truth, settings.clone()).await;
            network.serve(name, Arc::clone(&replica.router) as _);
            replicas.push(replica);
        }
        let cluster = Self {
            journal,
            network,
            replicas,
            truth,
        };
        for shard in count.iter() {
            cluster.take(shard, 0).await;
        }
        cluster.tell_all();
        cluster
    }

    pub fn shard_of(&self, order: OrderId) -> ShardId {
        self.replicas[0].node.ownership().shard_of(order)
    }

    /// The authority gives `shard` to a replica.
    fn claim(&self, shard: ShardId, to: usize) -> Claimed {
        let mut truth = self.truth.lock();
        let entry = &mut truth.shards[usize::from(shard.0)];
        entry.epoch = Epoch(entry.epoch.0 + 1);
        let peer = &self.replicas[to].peer;
        entry.owner = Some((peer.node.clone(), peer.incarnation));
        self.journal.0.lock().epochs.insert(shard, entry.epoch.0);
        Claimed {
            shard,
            epoch: entry.epoch,
            cache_generation: entry.epoch.0,
        }
    }

    /// Claimed after its owner's lease has ended: that one isn't asked, and nobody is told.
    pub async fn take(&self, shard: ShardId, to: usize) {
        let claimed = self.claim(shard, to);
        self.replicas[to].node.adopt(&[claimed], false).await;
    }

    /// The directories see what is.
    pub fn tell_all(&self) {
        let hearing = |replica: &&Replica| !replica.deaf.load(Ordering::SeqCst);
        for replica in self.replicas.iter().filter(hearing) {
            tell(&replica.directory, &self.truth);
        }
    }

    /// A replica is cut off from the authority and its lease has run out; its links are up.
    pub fn sever(&self, index: usize) {
        let replica = &self.replicas[index];
        replica.deaf.store(true, Ordering::SeqCst);
        replica.lease.end();
    }

    /// The lease of a replica has ended; its links are cut.
    pub fn kill(&self, index: usize) {
        self.truth.lock().nodes[index].remaining = Duration::ZERO;
        for other in NAMES {
            if other != NAMES[index] {
                self.network.cut(NAMES[index], other);
            }
        }
    }

    /// A planned move.
    pub async fn hand_over(&self, shard: ShardId, from: usize, to: usize) {
        let limit = Duration::from_secs(5);
        assert!(
            self.replicas[from].node.drain(shard, limit).await,
            "drained"
        );
        self.finish_move(shard, from, to).await;
    }

    /// The move of a drained shard doesn't happen.
    pub async fn keep(&self, shard: ShardId, owner: usize) {
        let claimed = self.claim(shard, owner);
        self.replicas[owner].node.resume(claimed).await;
    }

    /// The rest of a move, after the drain.
    pub async fn finish_move(&self, shard: ShardId, from: usize, to: usize) {
        let claimed = self.claim(shard, to);
        self.replicas[to].node.adopt(&[claimed], true).await;
        self.replicas[from].node.release_shard(shard);
    }

    /// Places an order by way of the router of `at`.
    pub async fn place(&self, at: usize) -> OrderId {
        let placed = self.replicas[at].router.place(request(None)).await;
        placed.expect("placed").order.id
    }

    /// Places an order and confirms it.
    pub async fn confirmed(&self, at: usize) -> OrderId {
        let order = self.place(at).await;
        self.command(at, order, Command::StockReserved)
            .await
            .expect("confirmed");
        order
    }

    pub async fn command(
        &self,
        at: usize,
        order: OrderId,
        command: Command,
    ) -> Result<Done, OrdersError> {
        self.replicas[at]
            .router
            .execute(execute(order, command))
            .await
    }

    /// A key whose order lies on `shard`.
    pub fn key_on(&self, shard: ShardId) -> String {
        let keys = (0..).map(|number| format!("key {number}"));
        let mut keys =
            keys.filter(|key| self.shard_of(keyed_order_id(&Caller::anonymous(), key)) == shard);
        keys.next().expect("there is always another")
    }
}

fn view_of(name: &str) -> NodeView {
    NodeView {
        node: NodeId(name.into()),
        incarnation: Incarnation(1),
        address: format!("{name}:7080"),
        draining: false,
        remaining: Duration::from_secs(1),
    }
}

fn tell(directory: &Directory, truth: &Mutex<ClusterView>) {
    directory.update(truth.lock().clone(), Instant::now());
}

async fn start(
    name: &str,
    journal: &MemoryJournal,
    network: &Arc<Network>,
    truth: &Arc<Mutex<ClusterView>>,
    settings: Settings,
) -> Replica {
    let count = ShardCount::new(COUNT).expect("in range");
    let peer = Peer {
        node: NodeId(name.into()),
        incarnation: Incarnation(1),
        address: format!("{name}:7080"),
    };
    // Asked by nobody: here the test is the authority.
    let membership = Arc::new(MemoryMembership::new(journal, count));
    let lease = Lease::unlimited();
    let ownership = Ownership::new(
        membership,
        peer.node.clone(),
        peer.incarnation,
        lease.clone(),
        count,
    );
    let cache = Arc::new(MemoryCache::new());
    let gate = CacheGate::new(
        cache.clone(),
        ownership.clone(),
        CacheGateSettings::default(),
    );
    let hub = Hub::new();
    let parts = Parts {
        journal: Arc::new(journal.clone()),
        cache,
        gate,
        hub: hub.clone() as Arc<dyn LiveHub>,
        clock: Arc::new(SystemClock),
        ownership,
        without_lease: WithoutLease::Refuse,
        saga_route: None,
        sagas: None,
    };
    let node = Node::start(parts, settings).await.expect("actors start");
    let directory = Directory::new(count);
    let deaf = Arc::new(AtomicBool::new(false));
    tokio::spawn(answer_refreshes(
        Arc::clone(&directory),
        Arc::clone(truth),
        Arc::clone(&deaf),
    ));
    let parts = RouterParts {
        me: peer.clone(),
        node: Arc::clone(&node),
        directory: Arc::clone(&directory),
        is_linked: true,
        links: Arc::new(MemoryLinks {
            me: name.into(),
            network: Arc::clone(network),
        }),
        hub: hub.clone() as Arc<dyn LiveHub>,
    };
    let settings = RouterSettings {
        mirror: MirrorSettings {
            idle_check: Duration::from_millis(20),
            poll: Duration::from_millis(20),
            ..MirrorSettings::default()
        },
        ..RouterSettings::default()
    };
    Replica {
        peer,
        node,
        router: Router::start(parts, settings),
        directory,
        hub,
        lease,
        deaf,
    }
}

/// Whoever keeps the lease looks at the authority when asked to.
async fn answer_refreshes(
    directory: Arc<Directory>,
    truth: Arc<Mutex<ClusterView>>,
    deaf: Arc<AtomicBool>,
) {
    loop {
        directory.refresh_asked().await;
        if !deaf.load(Ordering::SeqCst) {
            tell(&directory, &truth);
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until `is_so`, which something else makes so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !is_so() {
            // A count of something else: nothing signals it.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
