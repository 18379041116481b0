//! Orders and stock in memory, by the pure domain: what the consumers' handlers work on in tests of
//! delivery. Keeps every message that was ever sent.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::codec::messages;
use trackops::codec::stock::reply_row;
use trackops::inventory::StockHandler;
use trackops::messaging::handler::{Handler, HandlerOutcome};
use trackops::messaging::orders::OrderHandler;
use trackops::model::order_answer::{Done, OrderAnswer};
use trackops::model::order_request::{CommandRequest, OrderRequest};
use trackops::model::orders_error::OrdersError;
use trackops::model::outbox_row::{OutboxEntry, OutboxRow, RowId};
use trackops::model::topic::Topic;
use trackops::ports::bus::{HeaderName, InMessage};
use trackops::ports::clock::SystemClock;
use trackops::ports::live::LiveListener;
use trackops::ports::orders::Orders;
use trackops::ports::stock::{
    self, Adjustment, Condition, Item as Stocked, Replies, ReservationView, StockError,
    StockOutcome, StockRequest, StockStore, WriteRefused,
};
use trackops_domain::access::Caller;
use trackops_domain::command::{Command, HeldUp, Origin};
use trackops_domain::decide::{Decision, decide, place};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, Sku, Version};
use trackops_domain::invariants::check_log;
use trackops_domain::money::{Amount, Currency};
use trackops_domain::order::Order;
use trackops_domain::placed::{Address, Item, Placed};
use trackops_domain::saga::{Intent, Policy, Saga, Stock, intents};
use trackops_domain::status::Status;
use trackops_domain::stock::Level;
use trackops_domain::stock::batch::Loaded;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

const ON_HAND: u64 = 5;
const DEMAND: u64 = 2;

#[derive(Default)]
struct Inner {
    orders: HashMap<OrderId, Order>,
    stock: Loaded,
    sent: Vec<InMessage>,
    quarantined: bool,
    now: i64,
}

/// Orders, stock, and every message that was ever sent.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<Inner>>);

impl Inner {
    fn send(&mut self, order: OrderId, rows: impl IntoIterator<Item = OutboxRow>) {
        for row in rows {
            let topic = row.topic.as_str().into();
            let payload = row.payload.clone();
            let row_id = RowId { lane: 0, seq: 0 };
            let entry = OutboxEntry { row_id, order, row };
            let headers = messages::headers(&entry, "test");
            let headers = headers.into_iter().map(|(k, v)| (k.into(), v.into()));
            let message = self.message(topic, order, headers.collect(), payload.to_vec());
            // Sent again, it is the same message; those that were sent can come any number of times.
            let id = message.headers.get("ce_id");
            if !self.sent.iter().any(|sent| sent.headers.get("ce_id") == id) {
                self.sent.push(message);
            }
        }
    }

    fn message(
        &self,
        topic: Arc<str>,
        order: OrderId,
        headers: BTreeMap<HeaderName, bytes::Bytes>,
        payload: Vec<u8>,
    ) -> InMessage {
        InMessage {
            topic,
            partition: 0,
            offset: i64::try_from(self.sent.len()).unwrap(),
            key: Some(order.to_string().into()),
            headers,
            payload: Some(payload.into()),
            timestamp_ms: self.now,
        }
    }

    fn execute(&mut self, request: &CommandRequest) -> Result<Done, OrdersError> {
        self.now += 1;
        if self.quarantined {
            return Err(OrdersError::Quarantined);
        }
        let order = self.orders.get(&request.order);
        let order = order.ok_or(OrdersError::NotFound)?.clone();
        if let Some(version) = order.answered(request.id) {
            let order = Arc::new(order.as_of(version));
            return Ok(done(order, true));
        }
        let origin = Origin {
            command: request.id,
            by: Arc::clone(request.caller.by()),
            now: Timestamp(self.now),
        };
        let order = match decide(&order, &request.command, origin, &Policy::default())? {
            Decision::Unchanged => order,
            Decision::Event(event) => {
                let all = intents(&event);
                let order = evolve(order, &event);
                self.send(order.id, messages::outbox_rows(&order, all, all, None));
                order
            }
            Decision::Bookkeep { saga, resend } => {
                let order = Order { saga, ..order };
                let all = &[Intent::AnnounceCreated];
                self.send(order.id, messages::outbox_rows(&order, all, resend, None));
                order
            }
        };
        self.orders.insert(order.id, order.clone());
        Ok(done(Arc::new(order), false))
    }

    fn apply(&mut self, wanted: &StockRequest) -> StockOutcome {
        self.now += 1;
        let batch = std::slice::from_ref(wanted);
        let decided = stock::decide(batch, &self.stock, Timestamp(self.now));
        for answer in decided.answers.iter().flatten() {
            self.send(wanted.order, [reply_row(wanted.order, answer, None)]);
        }
        self.stock.records.extend(decided.records);
        self.stock.levels.extend(decided.levels);
        decided.outcomes[0].clone()
    }
}

fn done(order: Arc<Order>, replayed: bool) -> Done {
    Done {
        order,
        view: None,
        replayed,
        position: None,
    }
}

#[async_trait]
impl Orders for World {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        match request {
            OrderRequest::Execute(request) => {
                let done = self.0.lock().execute(&request);
                done.map(OrderAnswer::Done)
            }
            _ => Err(OrdersError::NotFound),
        }
    }

    async fn subscribe(
        &self,
        _: OrderId,
        _: Option<Version>,
        _: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        Err(OrdersError::NotFound)
    }
}

#[async_trait]
impl StockStore for World {
    async fn apply(
        &self,
        batch: &[StockRequest],
        _: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError> {
        let mut inner = self.0.lock();
        Ok(batch.iter().map(|request| inner.apply(request)).collect())
    }

    async fn set_on_hand(
        &self,
        _: &Sku,
        _: u64,
        _: &Condition,
        _: Option<&str>,
    ) -> Result<(Stocked, bool), StockError> {
        Err(WriteRefused::UnknownItem.into())
    }

    async fn adjust(
        &self,
        _: &Sku,
        _: i64,
        _: &str,
        _: Option<&str>,
    ) -> Result<(Adjustment, bool), StockError> {
        Err(WriteRefused::UnknownItem.into())
    }

    async fn adjustments(
        &self,
        _: &Sku,
        _: Option<i64>,
        _: u32,
    ) -> Result<Vec<Adjustment>, StockError> {
        Ok(Vec::new())
    }

    async fn item(&self, _: &Sku) -> Result<Option<Stocked>, StockError> {
        Ok(None)
    }

    async fn items(&self, _: Option<&Sku>, _: u32) -> Result<Vec<(Sku, Stocked)>, StockError> {
        Ok(Vec::new())
    }

    async fn reservation(&self, _: OrderId) -> Result<Option<ReservationView>, StockError> {
        Ok(None)
    }

    async fn replies(&self) -> Result<Replies, StockError> {
        Ok(Replies::default())
    }

    async fn ping(&self) -> Result<(), StockError> {
        Ok(())
    }
}

impl World {
    pub(crate) fn stocked() -> Self {
        let world = Self::default();
        let level = Level {
            on_hand: ON_HAND,
            reserved: 0,
        };
        world.0.lock().stock.levels.insert(sku(), level);
        world
    }

    pub(crate) fn place(&self, order: OrderId) {
        let mut inner = self.0.lock();
        let origin = Origin {
            command: CommandId(Uuid::new_v4()),
            by: "client".into(),
            now: Timestamp(inner.now),
        };
        let event = place(order, Arc::new(content()), None, origin);
        let saga = Saga::started(event.at, &Policy::default());
        let placed = Order::from_placed(&event, saga).unwrap();
        let all = intents(&event);
        inner.send(order, messages::outbox_rows(&placed, all, all, None));
        inner.orders.insert(order, placed);
    }

    /// A message from outside, put with the others.
    pub(crate) fn report(&self, order: OrderId, status: Status) {
        let mut inner = self.0.lock();
        let body = serde_json::json!({"orderId": order.0, "status": status.as_str()});
        let topic = Topic::FulfillmentUpdates.as_str().into();
        let body = body.to_string().into_bytes();
        let message = inner.message(topic, order, BTreeMap::new(), body);
        inner.sent.push(message);
    }

    /// Every order is in quarantine, or none.
    pub(crate) fn quarantine(&self, quarantined: bool) {
        self.0.lock().quarantined = quarantined;
    }

    pub(crate) fn order(&self, order: OrderId) -> Order {
        self.0.lock().orders[&order].clone()
    }

    /// The order's reservation deadline passes.
    pub(crate) fn time_out(&self, order: OrderId) {
        let mut inner = self.0.lock();
        let Some(deadline) = inner.orders[&order].saga.deadline else {
            return;
        };
        inner.now = inner.now.max(deadline.0);
        let command = Command::DeadlineDue {
            deadline,
            held_up: HeldUp::Not,
        };
        let request = CommandRequest {
            order,
            id: CommandId(Uuid::new_v4()),
            keyed: false,
            caller: Caller::Internal("deadline".into()),
            if_match: None,
            command,
            traceparent: None,
        };
        inner.execute(&request).unwrap();
    }

    pub(crate) fn sent(&self) -> Vec<InMessage> {
        self.0.lock().sent.clone()
    }

    pub(crate) async fn deliver(&self, message: InMessage) {
        let handler: Arc<dyn Handler> = match Topic::parse(&message.topic).unwrap() {
            Topic::OrderStatusUpdated => return,
            Topic::OrderCreated | Topic::OrderCancelled | Topic::OrderDelivered => {
                let clock = Arc::new(SystemClock);
                Arc::new(StockHandler::new(Arc::new(self.clone()), clock))
            }
            _ => {
                let clock = Arc::new(SystemClock);
                Arc::new(OrderHandler::new(Arc::new(self.clone()), clock))
            }
        };
        let verdict = handler.handle(&[Arc::new(message.clone())]).await.remove(0);
        let parked = matches!(
            verdict,
            HandlerOutcome::DeadLetter(_) | HandlerOutcome::DependencyDown(_)
        );
        assert!(!parked, "{verdict:?} for {message:?}");
    }

    /// Everything arrives in the end, and again, until a round changes nothing.
    pub(crate) async fn settle(&self) {
        for _ in 0..10 {
            let before = self.state();
            let mut next = 0;
            while next < self.sent().len() {
                self.deliver(self.sent().swap_remove(next)).await;
                next += 1;
            }
            if self.state() == before {
                return;
            }
        }
        panic!("still changing after ten rounds");
    }

    pub(crate) fn state(&self) -> (HashMap<OrderId, Order>, BTreeMap<Sku, Level>, usize) {
        let inner = self.0.lock();
        (
            inner.orders.clone(),
            inner.stock.levels.clone(),
            inner.sent.len(),
        )
    }

    /// I1, I4, I6, and that no order is left waiting.
    pub(crate) fn check(&self) {
        let (orders, levels, _) = self.state();
        let (mut held, mut gone) = (0, 0);
        for order in orders.values() {
            let log: Vec<_> = (1..)
                .map(Version)
                .zip(order.log.iter().map(|entry| entry.status))
                .collect();
            check_log(&log).unwrap();
            let expected = match order.status() {
                Status::Pending => panic!("{} still waits for stock", order.id),
                Status::Rejected => Stock::Refused,
                Status::Cancelled => Stock::Released,
                Status::Delivered => Stock::Shipped,
                Status::Confirmed | Status::Preparing | Status::InTransit => Stock::Reserved,
            };
            assert_eq!(order.saga.stock, expected, "{:?}", order.log);
            held += u64::from(expected == Stock::Reserved) * DEMAND;
            gone += u64::from(expected == Stock::Shipped) * DEMAND;
        }
        let level = levels[&sku()];
        assert_eq!((level.reserved, level.on_hand), (held, ON_HAND - gone));
    }
}

pub(crate) fn sku() -> Sku {
    Sku::parse("PIZZA").unwrap()
}

fn content() -> Placed {
    let items = [Item {
        sku: sku(),
        quantity: u32::try_from(DEMAND).unwrap(),
        unit_price: Amount(950),
    }];
    Placed {
        customer: CustomerId(Uuid::nil()),
        currency: Currency::parse("EUR").unwrap(),
        total: Placed::total_of(&items).unwrap(),
        items: items.into(),
        address: Address {
            street: "s".into(),
            city: "c".into(),
            postal_code: "p".into(),
            country: "DE".into(),
            lat: None,
            lon: None,
            phone: None,
        },
        instructions: None,
        shop: None,
    }
}
