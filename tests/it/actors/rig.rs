//! A node over in-memory doubles.

use std::sync::Arc;
use std::time::Duration;

use trackops::actors::cache_gate::{CacheGate, CacheGateSettings};
use trackops::actors::node::{Node, Parts};
use trackops::actors::ownership::Ownership;
use trackops::actors::saga_route::SagaRoute;
use trackops::actors::settings::Settings;
use trackops::actors::without_lease::WithoutLease;
use trackops::codec::content::{AddressV1, ContentV1, ItemV1};
use trackops::embedded::cache::MemoryCache;
use trackops::live::hub::Hub;
use trackops::model::order_answer::{ActorReport, Done};
use trackops::model::order_request::{
    CommandRequest, LocateRequest, LocationKey, PlaceKey, PlaceRequest, keyed_order_id,
};
use trackops::model::orders_error::OrdersError;
use trackops::model::position::Position;
use trackops::ports::cache::Cache;
use trackops::ports::clock::{Clock, SystemClock};
use trackops::ports::journal::Journal;
use trackops::ports::live::{LiveHub, LiveItem, LiveListener};
use trackops::ports::orders::{Orders as _, OrdersExt};
use trackops_cluster::ShardCount;
use trackops_cluster::lease::Lease;
use trackops_cluster::membership::{Membership, NodeId};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId};
use trackops_domain::placed::Placed;

use crate::contract::support::seen;
use crate::doubles::journal::MemoryJournal;
use crate::doubles::membership::MemoryMembership;

/// Longer than any test, also where the clock is paused and jumps.
const LEASE: Duration = Duration::from_secs(86_400);

/// Everything a test looks at.
pub struct Rig {
    pub node: Arc<Node>,
    pub journal: MemoryJournal,
    pub lease: Lease,
    pub ownership: Arc<Ownership>,
    pub membership: MemoryMembership,
}

impl Rig {
    /// A node that owns its eight shards.
    pub async fn new(settings: Settings) -> Self {
        Self::over(settings, Arc::new(MemoryCache::new())).await
    }

    /// The same over this cache.
    pub async fn over(settings: Settings, cache: Arc<dyn Cache>) -> Self {
        Self::with(settings, cache, Arc::new(SystemClock), None).await
    }

    /// The same by this clock, with requests for stock that go this way.
    pub async fn with(
        settings: Settings,
        cache: Arc<dyn Cache>,
        clock: Arc<dyn Clock>,
        saga_route: Option<SagaRoute>,
    ) -> Self {
        let journal = MemoryJournal::default();
        let count = ShardCount::new(8).expect("in range");
        let membership = MemoryMembership::new(&journal, count);
        let lease = Lease::unlimited();
        let ports = Ports {
            journal: Arc::new(journal.clone()),
            membership: Arc::new(membership.clone()),
            cache,
            clock,
            hub: Hub::new(),
            saga_route,
        };
        let (node, ownership) = start(ports, count, lease.clone(), settings).await;
        Self {
            node,
            journal,
            lease,
            ownership,
            membership,
        }
    }

    /// Places an order without a key.
    pub async fn place(&self) -> OrderId {
        self.node
            .place(request(None))
            .await
            .expect("placed")
            .order
            .id
    }

    /// Runs a command under a new id.
    pub async fn command(&self, order: OrderId, command: Command) -> Result<Done, OrdersError> {
        self.node.execute(execute(order, command)).await
    }
}

/// What a node needs from outside.
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub membership: Arc<dyn Membership>,
    pub cache: Arc<dyn Cache>,
    pub clock: Arc<dyn Clock>,
    pub hub: Arc<dyn LiveHub>,
    pub saga_route: Option<SagaRoute>,
}

/// A node that is alone, and so owns all shards, with what it owns.
pub async fn start(
    outside: Ports,
    count: ShardCount,
    lease: Lease,
    settings: Settings,
) -> (Arc<Node>, Arc<Ownership>) {
    let (name, membership) = (NodeId("test".into()), outside.membership);
    let joined = membership.join(&name, "test:1", LEASE).await;
    let incarnation = joined.expect("it is granted");
    let all = seen(&*membership).await;
    let ownership = Ownership::new(membership, name, incarnation, lease, count);
    let gate = CacheGate::new(
        outside.cache.clone(),
        ownership.clone(),
        CacheGateSettings::default(),
    );
    let claimed = ownership.claim(&all, &gate).await;
    claimed.expect("it is granted");
    let parts = Parts {
        journal: outside.journal,
        cache: outside.cache,
        gate,
        hub: outside.hub,
        clock: outside.clock,
        ownership: ownership.clone(),
        without_lease: WithoutLease::Refuse,
        saga_route: outside.saga_route,
        sagas: None,
    };
    let node = Node::start(parts, settings).await.expect("actors start");
    (node, ownership)
}

/// A listener whose delivery panics in the order's actor: the failure of one order.
struct Explosive;

impl LiveListener for Explosive {
    fn id(&self) -> u64 {
        1
    }

    fn deliver(&self, _: LiveItem) {
        panic!("the listener explodes");
    }
}

/// Makes the order's actor panic once.
pub async fn fail(node: &Node, order: OrderId) {
    let failed = node.subscribe(order, None, Arc::new(Explosive)).await;
    assert!(
        matches!(failed, Err(OrdersError::Restarted)),
        "an error at once, no hang: {failed:?}"
    );
}

/// Returns when the order's actor has been started again after [`fail`].
pub async fn until_live(node: &Node, order: OrderId) {
    until(node, order, |state| state != "restarting").await;
}

/// Has the order fail until it is quarantined.
pub async fn quarantine(node: &Node, order: OrderId) {
    for _ in 0..Settings::default().failures_max {
        until_live(node, order).await;
        fail(node, order).await;
    }
    until(node, order, |state| state == "quarantined").await;
}

async fn until(node: &Node, order: OrderId, is_reached: impl Fn(&str) -> bool) {
    tokio::time::timeout(Duration::from_secs(10), async {
        let is_there = |report: ActorReport| is_reached(report.state);
        while !node.inspect(order).await.is_ok_and(is_there) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the order's actor gets there");
}

/// Default settings, with short waits.
pub fn settings() -> Settings {
    Settings {
        answer_timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

/// A request to place.
pub fn request(key: Option<&str>) -> PlaceRequest {
    let caller = Caller::anonymous();
    let key = key.map(|key| PlaceKey {
        order: keyed_order_id(&caller, key),
        body: [7; 32],
    });
    PlaceRequest {
        content: Arc::new(content()),
        key,
        caller,
        traceparent: None,
    }
}

/// A request to run `command`.
pub fn execute(order: OrderId, command: Command) -> CommandRequest {
    CommandRequest {
        order,
        id: CommandId(uuid::Uuid::now_v7()),
        keyed: false,
        caller: Caller::Internal("test".into()),
        if_match: None,
        command,
        traceparent: None,
    }
}

/// What is ordered.
pub fn content() -> Placed {
    let address = AddressV1 {
        street: "Torstr. 1".into(),
        city: "Berlin".into(),
        postal_code: "10119".into(),
        country: "DE".into(),
        lat: None,
        lon: None,
        phone: None,
    };
    let content = ContentV1 {
        customer_id: uuid::Uuid::now_v7(),
        currency: "EUR".into(),
        items: vec![ItemV1 {
            sku: "PIZZA".into(),
            quantity: 1,
            unit_price: 950,
        }],
        address,
        delivery_instructions: None,
        shop_id: None,
    };
    content.check().expect("valid")
}

/// A report of where the courier is.
pub fn located(order: OrderId, position: Position, key: Option<LocationKey>) -> LocateRequest {
    LocateRequest {
        order,
        position,
        key,
        caller: Caller::anonymous(),
    }
}
