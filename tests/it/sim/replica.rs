//! One life of one node: everything real but its ports, as `app` puts it together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops::actors::cache_gate::{CacheGate, CacheGateSettings};
use trackops::actors::node::{Node, Parts};
use trackops::actors::ownership::Ownership;
use trackops::actors::settings::Settings;
use trackops::actors::without_lease::WithoutLease;
use trackops::live::hub::Hub;
use trackops::live::mirror_settings::MirrorSettings;
use trackops::ports::live::LiveHub;
use trackops::router::{Router, RouterParts, RouterSettings};
use trackops_cluster::ShardCount;
use trackops_cluster::coordinator::{Coordinator, CoordinatorParts, CoordinatorSettings};
use trackops_cluster::directory::Directory;
use trackops_cluster::lease::{Lease, LeaseTiming};
use trackops_cluster::lease_keeper::{Kept, LeaseState, MembershipConnections, keep};
use trackops_cluster::link::channel::{self, Switch};
use trackops_cluster::link::memory::{MemoryLinks, MemoryNetwork};
use trackops_cluster::link::{LinkError, LinkState, Links, Peer, Service};
use trackops_cluster::membership::{Incarnation, Membership as _, NodeId};

use super::Mutation;
use super::dice::Dice;
use super::gate::Gate;
use super::hub::Defective;
use super::membership::SimMembership;
use super::ports::{Entries, Line, SimCache, SimClock, SimJournal};
use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::MemoryMembership;

/// What all nodes share.
#[derive(Clone)]
pub struct Shared {
    pub journal: MemoryJournal,
    pub membership: MemoryMembership,
    pub network: MemoryNetwork,
    pub entries: Entries,
    pub count: ShardCount,
    pub mutation: Mutation,
}

/// The ways of one node to the servers.
pub struct Lines {
    pub journal: Arc<Line>,
    pub membership: Arc<Line>,
    pub renewals: Arc<Line>,
    pub cache: Arc<Line>,
}

/// A node that has joined.
pub struct Life {
    pub gate: Arc<Gate>,
    pub lines: Arc<Lines>,
    pub clock: Arc<SimClock>,
    pub node: Arc<Node>,
    pub router: Arc<Router>,
    pub coordinator: Arc<Coordinator>,
    pub hub: Arc<dyn LiveHub>,
    /// Its sockets are closed.
    pub over: CancellationToken,
    pub lease_state: watch::Receiver<LeaseState>,
    keeping: parking_lot::Mutex<Option<oneshot::Sender<()>>>,
}

impl Lines {
    pub fn new(gate: &Arc<Gate>, dice: &mut Dice) -> Arc<Self> {
        Arc::new(Self {
            journal: Line::new(gate, dice.fork()),
            membership: Line::new(gate, dice.fork()),
            renewals: Line::new(gate, dice.fork()),
            cache: Line::new(gate, dice.fork()),
        })
    }

    /// Of those to the database.
    pub fn cut(&self, cut: bool) {
        for line in [&self.journal, &self.membership, &self.renewals] {
            line.cut(cut);
        }
    }
}

impl Life {
    /// Joins and starts; `None` if the lease of the node's last life holds or the authority is away.
    #[expect(
        clippy::too_many_lines,
        clippy::similar_names,
        reason = "one replica, part by part"
    )]
    pub async fn start(
        shared: &Shared,
        name: &str,
        gate: Arc<Gate>,
        lines: Arc<Lines>,
        dice: &mut Dice,
    ) -> Option<Arc<Self>> {
        let timing = LeaseTiming::default();
        let (id, address) = (NodeId(name.into()), format!("{name}:7080"));
        let way = |line: &Arc<Line>, purpose: &str| {
            Arc::new(SimMembership {
                inner: shared.membership.caller(&format!("{name} {purpose}")),
                line: Arc::clone(line),
            })
        };
        let membership = way(&lines.membership, "claims");
        let sent = Instant::now();
        let joined = membership.join(&id, &address, timing.length).await;
        let incarnation: Incarnation = joined.ok()?;
        let peer = Peer {
            node: id.clone(),
            incarnation,
            address,
        };
        let links = shared.network.join(peer.clone());
        let (lease, directory) = (Lease::new(), Directory::new(shared.count));
        lease.renewed(sent, &timing);
        let kept = Kept {
            node: id.clone(),
            incarnation,
            timing,
            lease: lease.clone(),
            directory: Arc::clone(&directory),
        };
        let (told, lease_state) = watch::channel(LeaseState::Held);
        let (keeping, stopped) = oneshot::channel();
        let ways = MembershipConnections {
            renewals: way(&lines.renewals, "renewals"),
            looks: way(&lines.renewals, "looks"),
        };
        tokio::spawn(async move { keep(&ways, &kept, &told, stopped).await });
        let believed = match shared.mutation {
            Mutation::NoLease => Lease::unlimited(),
            _ => lease,
        };
        let ownership = Ownership::new(
            membership.clone(),
            id.clone(),
            incarnation,
            believed,
            shared.count,
        );
        let cache = Arc::new(SimCache {
            entries: shared.entries.clone(),
            line: Arc::clone(&lines.cache),
        });
        let gate_settings = CacheGateSettings {
            jitter: || 0.5,
            ..CacheGateSettings::default()
        };
        let hub: Arc<dyn LiveHub> = Arc::new(Defective {
            hub: Hub::new(),
            // The actors find who listens, whatever the router overlooks.
            mutation: match shared.mutation {
                Mutation::NoCover => Mutation::None,
                other => other,
            },
        });
        let clock = Arc::new(SimClock::new(dice.fork()));
        let parts = Parts {
            journal: Arc::new(SimJournal {
                inner: shared.journal.clone(),
                line: Arc::clone(&lines.journal),
            }),
            cache: cache.clone(),
            gate: CacheGate::new(cache, ownership.clone(), gate_settings),
            hub: Arc::clone(&hub),
            clock: clock.clone(),
            ownership,
            // As in production wherever others may own the shards by now: no aged answers.
            without_lease: WithoutLease::Refuse,
            saga_route: None,
            sagas: None,
        };
        let settings = Settings {
            answer_timeout: Duration::from_secs(10),
            passivate_live: Duration::from_secs(2),
            ..Settings::default()
        };
        let node = Node::start(parts, settings).await.expect("actors start");
        let gated: Arc<dyn Links> = Arc::new(SimLinks {
            inner: Arc::clone(&links),
            gate: Arc::clone(&gate),
        });
        let router_parts = RouterParts {
            me: peer,
            node: Arc::clone(&node),
            directory: Arc::clone(&directory),
            links: channel::for_entities(Arc::clone(&gated)),
            is_linked: true,
            hub: Arc::new(Defective {
                hub: Arc::clone(&hub),
                mutation: shared.mutation,
            }),
        };
        let router_settings = RouterSettings {
            mirror: MirrorSettings {
                idle_check: Duration::from_secs(1),
                ..MirrorSettings::default()
            },
            ..RouterSettings::default()
        };
        let router = Router::start(router_parts, router_settings);
        let parts = CoordinatorParts {
            node: id,
            incarnation,
            membership,
            directory,
            shards: Arc::clone(&node) as _,
            links: channel::for_coordinator(gated),
        };
        let coordinator = Coordinator::start(parts, CoordinatorSettings::default());
        links.serve(Arc::new(Gated {
            gate: Arc::clone(&gate),
            switch: Switch {
                coordinator: Arc::clone(&coordinator),
                entities: Arc::clone(&router) as _,
            },
        }));
        Some(Arc::new(Self {
            gate,
            lines,
            clock,
            node,
            router,
            coordinator,
            hub,
            over: CancellationToken::new(),
            lease_state,
            keeping: parking_lot::Mutex::new(Some(keeping)),
        }))
    }

    /// Ends in good order, or tidies up after a death, of which nobody outside hears anything.
    pub async fn end(self: Arc<Self>, limit: Duration) {
        self.over.cancel();
        self.router.stop();
        self.coordinator.stop().await;
        self.node.shut_down(limit).await;
        self.keeping.lock().take();
    }
}

struct SimLinks {
    inner: Arc<MemoryLinks>,
    gate: Arc<Gate>,
}

#[async_trait]
impl Links for SimLinks {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        self.gate.pass().await;
        let answer = self.inner.call(to, request, deadline).await;
        self.gate.pass().await;
        answer
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        self.gate.pass().await;
        let answer = self.inner.relay(through, to, request, deadline).await;
        self.gate.pass().await;
        answer
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        self.gate.pass().await;
        self.inner.send(to, message).await
    }

    fn states(&self) -> Vec<LinkState> {
        self.inner.states()
    }
}

/// What others ask of a node, and are told, unless it is stopped or dead.
struct Gated {
    gate: Arc<Gate>,
    switch: Switch,
}

#[async_trait]
impl Service for Gated {
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes {
        self.gate.pass().await;
        let answer = self.switch.call(from, request, deadline).await;
        self.gate.pass().await;
        answer
    }

    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes) {
        self.gate.pass().await;
        self.switch.receive(from, message).await;
    }

    fn disconnected(&self, from: &(NodeId, Incarnation)) {
        self.switch.disconnected(from);
    }
}
