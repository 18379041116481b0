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
use trackops::model::order_answer::Done;
use trackops::model::order_request::{CommandRequest, PlaceRequest};
use trackops::model::orders_error::OrdersError;
use trackops::ports::cache::Cache;
use trackops::ports::clock::{Clock, SystemClock};
use trackops::ports::live::LiveHub;
use trackops::ports::orders::OrdersExt;
use trackops_cluster::lease::Lease;
use trackops_cluster::membership::{Membership as _, NodeId};
use trackops_cluster::{Epoch, ShardCount};
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId};
use trackops_domain::placed::Placed;

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
        let node = NodeId("test".into());
        let incarnation = membership
            .join(&node, "test:1", LEASE)
            .await
            .expect("the double grants");
        let ownership = Ownership::new(
            Arc::new(membership.clone()),
            node,
            incarnation,
            lease.clone(),
            count,
        );
        let gate = CacheGate::new(
            cache.clone(),
            ownership.clone(),
            CacheGateSettings::default(),
        );
        let all: Vec<_> = count.iter().map(|shard| (shard, Epoch(0))).collect();
        ownership
            .claim(&all, &gate)
            .await
            .expect("the double grants");
        let parts = Parts {
            journal: Arc::new(journal.clone()),
            cache,
            gate: gate.clone(),
            hub: Hub::new() as Arc<dyn LiveHub>,
            clock,
            ownership: ownership.clone(),
            without_lease: WithoutLease::Refuse,
            saga_route,
            sagas: None,
        };
        let node = Node::start(parts, settings).await.expect("actors start");
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

/// Default settings, with short waits.
pub fn settings() -> Settings {
    Settings {
        answer_timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

/// A request to place.
pub fn request(key: Option<&str>) -> PlaceRequest {
    let key = key.map(|key| (Box::from(key), [7; 32]));
    PlaceRequest {
        content: Arc::new(content()),
        key,
        traceparent: None,
    }
}

/// A request to run `command`.
pub fn execute(order: OrderId, command: Command) -> CommandRequest {
    CommandRequest {
        order,
        id: CommandId(uuid::Uuid::now_v7()),
        keyed: false,
        by: "test".into(),
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
    };
    content.check().expect("valid")
}
