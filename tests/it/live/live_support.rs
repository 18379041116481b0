//! What the tests of live tracking share: orders of any length, and an in-memory stand-in for the
//! actors in front of the real hub.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::live::hub::Hub;
use trackops::model::order_answer::OrderAnswer;
use trackops::model::order_request::OrderRequest;
use trackops::model::orders_error::{Full, OrdersError};
use trackops::model::position::Position;
use trackops::ports::live::{LiveHub as _, LiveListener};
use trackops::ports::orders::Orders;
use trackops_domain::command::Origin;
use trackops_domain::decide::place;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, Sku, Version};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::order::{LogEntry, Order};
use trackops_domain::placed::{Address, Item, Placed};
use trackops_domain::saga::{Policy, Saga};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

/// A position, anywhere.
pub const SOMEWHERE: Position = Position {
    lat: 52.5,
    lon: 13.4,
    at: Timestamp(1_700_000_000_000),
};

/// An order as placed.
pub fn placed(id: OrderId) -> Order {
    let item = Item {
        sku: Sku::parse("PIZZA-MARGHERITA").expect("is a SKU"),
        quantity: 2,
        unit_price: Amount(950),
    };
    let content = Placed {
        customer: CustomerId(Uuid::from_u128(1)),
        currency: Currency::parse("EUR").expect("is a currency"),
        total: Amount(1_900),
        items: [item].into(),
        address: Address {
            street: "Weg 1".into(),
            city: "Berlin".into(),
            postal_code: "10115".into(),
            country: "DE".into(),
            lat: None,
            lon: None,
            phone: None,
        },
        instructions: None,
        shop: None,
    };
    let origin = Origin {
        command: CommandId(Uuid::from_u128(2)),
        by: "client".into(),
        now: Timestamp(1_700_000_000_000),
    };
    let event = place(id, Arc::new(content), None, origin);
    let saga = Saga::started(event.at, &Policy::default());
    Order::from_placed(&event, saga).expect("is a placement")
}

/// `order` one version on. Real orders have about six versions; a test that wants thousands lets one
/// go to and fro between two statuses, which live tracking doesn't look into.
pub fn advanced(order: &Order, status: Status) -> Order {
    let mut next = order.clone();
    next.log.push(LogEntry {
        status,
        at: Timestamp(1_700_000_000_000 + i64::from(order.version().0)),
        by: "test".into(),
        command: CommandId(Uuid::from_u128(u128::from(order.version().0))),
        reason: None,
        courier: None,
    });
    next
}

/// An order and its courier.
type Known = (Arc<Order>, Option<Position>);

/// The orders, and their one writer each: a lock stands for the actor.
pub struct TestOrders {
    hub: Arc<Hub>,
    orders: Mutex<HashMap<OrderId, Known>>,
    /// So many subscriptions more are told that there is too much to do.
    pub crowd: AtomicU32,
    /// What the next subscription is told instead.
    refusal: Mutex<Option<OrdersError>>,
}

impl TestOrders {
    pub fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            orders: Mutex::default(),
            crowd: AtomicU32::new(0),
            refusal: Mutex::default(),
        })
    }

    pub fn refuse_next(&self, error: OrdersError) {
        *self.refusal.lock() = Some(error);
    }

    pub fn place(&self) -> OrderId {
        let id = OrderId(Uuid::now_v7());
        let order = Arc::new(placed(id));
        self.orders.lock().insert(id, (order, None));
        id
    }

    pub fn advance(&self, id: OrderId, status: Status) -> Version {
        let mut orders = self.orders.lock();
        let (order, _) = orders.get_mut(&id).expect("was placed");
        *order = Arc::new(advanced(order, status));
        self.hub.publish(order, Some(tokio::time::Instant::now()));
        order.version()
    }

    pub fn locate_now(&self, id: OrderId, position: Position) {
        let mut orders = self.orders.lock();
        orders.get_mut(&id).expect("was placed").1 = Some(position);
        self.hub.locate(id, position);
    }

    /// An actor that starts again tells what its listeners may lack.
    pub fn restart(&self, id: OrderId) {
        let orders = self.orders.lock();
        self.hub.publish(&orders[&id].0, None);
    }

    pub fn version(&self, id: OrderId) -> Version {
        self.orders.lock()[&id].0.version()
    }

    pub fn attach(
        &self,
        id: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        let orders = self.orders.lock();
        let (order, position) = orders.get(&id).ok_or(OrdersError::NotFound)?;
        self.hub.attach(listener, since, order, *position);
        Ok(Arc::clone(order))
    }
}

#[async_trait]
impl Orders for TestOrders {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        unreachable!("live tracking subscribes: {request:?}")
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        if let Some(error) = self.refusal.lock().take() {
            return Err(error);
        }
        let fewer = |crowd: u32| crowd.checked_sub(1);
        if self.crowd.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
            return Err(OrdersError::Overloaded {
                full: Full::Order,
                retry_after: Duration::from_secs(1),
            });
        }
        self.attach(order, since, listener)
    }
}

/// What a client knows of one subscription, kept apart from the code under test: I7.
#[derive(Debug)]
pub struct Follower {
    pub has: Option<u32>,
    pub is_fresh: bool,
}

impl Follower {
    pub fn new(since: Option<u32>) -> Self {
        Self {
            has: since,
            is_fresh: true,
        }
    }

    /// Takes a message in; an error says how it breaks I7.
    pub fn see(&mut self, message: &serde_json::Value) -> Result<(), String> {
        let version = message["version"].as_u64().and_then(|v| v.try_into().ok());
        match message["type"].as_str() {
            Some("location") => return Ok(()),
            Some("update") => {
                if version.is_none() || version != self.has.map(|has| has + 1) {
                    return Err(format!("update {version:?} after {:?}", self.has));
                }
            }
            Some("snapshot") => {
                if !self.is_fresh && version <= self.has {
                    return Err(format!("snapshot {version:?} after {:?}", self.has));
                }
                if message["order"]["version"] != message["version"] {
                    return Err(format!("snapshot of two versions: {message}"));
                }
            }
            _ => return Err(format!("unexpected {message}")),
        }
        self.has = version;
        self.is_fresh = false;
        Ok(())
    }
}
