//! Doubles that keep the ports' contracts in memory and fail at a chosen call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::api::admin::dead_letter_admin::{
    DeadLetter, DeadLetterAdmin, DeadLetterAdminError, DeadLetterId,
};
use trackops::codec::view;
use trackops::model::order_answer::{ActorReport, Done, History, OrderAnswer, Read};
use trackops::model::order_request::{
    CommandRequest, LocateRequest, LocationKey, OrderRequest, PlaceRequest, keyed_order_id,
};
use trackops::model::orders_error::OrdersError;
use trackops::model::outbox_row::RowId;
use trackops::model::position::Position;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops::ports::journal::{
    AppendError, AppendRow, BoxError, Due, Journal, JournalError, ListFilter, RowOutcome,
};
use trackops::ports::live::LiveListener;
use trackops::ports::orders::Orders;
use trackops::ports::outbox::{Fetched, Outbox, OutboxError, OutboxStats, UnreadableRow, Wanted};
use trackops::ports::sagas::{Sagas, Stuck, Waiting, WaitingFilter};
use trackops_cluster::ShardId;
use trackops_domain::command::{Command, Origin};
use trackops_domain::decide::{Decision, decide, place};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::{Policy, Saga};
use trackops_domain::status::Status;

use trackops_domain::time::Timestamp;

/// What the next call to the orders does instead of its work.
pub enum Next {
    Fail(OrdersError),
    Panic,
    /// Waits until the notification, then does its work.
    Wait(Arc<tokio::sync::Notify>),
}

/// Orders and their journal.
#[derive(Default)]
pub struct MemoryOrders {
    orders: Mutex<BTreeMap<OrderId, Arc<Order>>>,
    positions: Mutex<BTreeMap<OrderId, Position>>,
    location_keys: Mutex<BTreeMap<CommandId, LocationKey>>,
    next: Mutex<Option<Next>>,
    waiting: tokio::sync::Notify,
    pub journal_away: Mutex<bool>,
    /// Trace contexts as they arrived.
    pub traces: Mutex<Vec<Option<Arc<str>>>>,
}

impl MemoryOrders {
    pub fn next(&self, next: Next) {
        *self.next.lock() = Some(next);
    }

    /// Returns when a call waits as [`Next::Wait`] told it to.
    pub async fn taken(&self) {
        self.waiting.notified().await;
    }

    /// Moves an order on without a client.
    pub fn saga(&self, id: &str, command: &Command) {
        let id = OrderId(id.parse().expect("a UUID"));
        let origin = origin(CommandId(SystemClock.uuid_v7()), "inventory");
        let order = self.find(id).expect("placed");
        if let Ok(Decision::Event(event)) = decide(&order, command, origin, &Policy::default()) {
            let order = Arc::new(evolve((*order).clone(), &event));
            self.orders.lock().insert(id, order);
        }
    }

    async fn begin(&self) -> Result<(), OrdersError> {
        let next = self.next.lock().take();
        match next {
            None => Ok(()),
            Some(Next::Fail(error)) => Err(error),
            Some(Next::Panic) => panic!("a fault in the handler"),
            Some(Next::Wait(until)) => {
                self.waiting.notify_one();
                until.notified().await;
                Ok(())
            }
        }
    }

    fn find(&self, id: OrderId) -> Result<Arc<Order>, OrdersError> {
        let orders = self.orders.lock();
        orders.get(&id).map(Arc::clone).ok_or(OrdersError::NotFound)
    }

    fn age(&self) -> Option<Duration> {
        let away = *self.journal_away.lock();
        away.then_some(Duration::from_millis(7_900))
    }

    fn position(&self, order: &Order) -> Option<Position> {
        let shown = order.status() == Status::InTransit;
        shown.then(|| self.positions.lock().get(&order.id).copied())?
    }
}

fn origin(command: CommandId, by: &str) -> Origin {
    Origin {
        command,
        by: by.into(),
        now: SystemClock.now(),
    }
}

#[async_trait]
impl Orders for MemoryOrders {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        Ok(match request {
            OrderRequest::Place(request) => OrderAnswer::Done(self.on_place(request).await?),
            OrderRequest::Execute(request) => OrderAnswer::Done(self.on_execute(request).await?),
            OrderRequest::Read(order) => OrderAnswer::Read(self.on_read(order).await?),
            OrderRequest::History(order) => OrderAnswer::History(self.on_history(order).await?),
            OrderRequest::Locate(request) => OrderAnswer::Located {
                replayed: self.on_locate(request).await?,
            },
            OrderRequest::Inspect(order) => OrderAnswer::Report(self.on_inspect(order)?),
            OrderRequest::Release(order) => OrderAnswer::Released {
                was_quarantined: self.on_release(order)?,
            },
        })
    }

    async fn subscribe(
        &self,
        order: OrderId,
        _since: Option<Version>,
        _session: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.find(order)
    }
}

impl MemoryOrders {
    async fn on_place(&self, request: PlaceRequest) -> Result<Done, OrdersError> {
        self.begin().await?;
        self.traces.lock().push(request.traceparent.clone());
        let (id, hash) = match &request.key {
            Some((key, hash)) => (keyed_order_id(key), Some(*hash)),
            None => (OrderId(SystemClock.uuid_v7()), None),
        };
        let mut orders = self.orders.lock();
        if let Some(order) = orders.get(&id) {
            if order.body_hash != hash {
                return Err(OrdersError::KeyReused);
            }
            return Ok(Done {
                order: Arc::new(order.as_of(Version::FIRST)),
                view: None,
                replayed: true,
                position: None,
            });
        }
        let origin = origin(CommandId(id.0), "client");
        let saga = Saga::started(origin.now, &Policy::default());
        let event = place(id, request.content, hash, origin);
        let order = Arc::new(Order::from_placed(&event, saga).expect("a placement"));
        orders.insert(id, Arc::clone(&order));
        Ok(Done {
            order,
            view: None,
            replayed: false,
            position: None,
        })
    }

    async fn on_execute(&self, request: CommandRequest) -> Result<Done, OrdersError> {
        self.begin().await?;
        self.traces.lock().push(request.traceparent.clone());
        let order = self.find(request.order)?;
        if let Some(version) = order.answered(request.id) {
            if !order.asked_the_same(request.id, &request.command) {
                return Err(OrdersError::KeyReused);
            }
            return Ok(Done {
                order: Arc::new(order.as_of(version)),
                view: None,
                replayed: true,
                position: None,
            });
        }
        let current = order.version();
        if request
            .if_match
            .is_some_and(|named| !named.contains(&current))
        {
            return Err(OrdersError::PreconditionFailed { current });
        }
        let origin = Origin {
            command: request.id,
            by: Arc::clone(&request.by),
            now: SystemClock.now(),
        };
        let mut next = (*order).clone();
        match decide(&order, &request.command, origin, &Policy::default())? {
            Decision::Event(event) => next = evolve(next, &event),
            _ if request.keyed => next.remember(request.id, &request.command),
            _ => {}
        }
        let next = Arc::new(next);
        self.orders.lock().insert(request.order, Arc::clone(&next));
        Ok(Done {
            position: self.position(&next),
            order: next,
            view: None,
            replayed: false,
        })
    }

    async fn on_read(&self, order: OrderId) -> Result<Read, OrdersError> {
        self.begin().await?;
        let order = self.find(order)?;
        Ok(Read {
            version: order.version(),
            view: view::render(&order),
            position: self.position(&order),
            age: self.age(),
        })
    }

    async fn on_history(&self, order: OrderId) -> Result<History, OrdersError> {
        self.begin().await?;
        Ok(History {
            order: self.find(order)?,
            age: self.age(),
        })
    }

    async fn on_locate(
        &self,
        LocateRequest {
            order,
            position,
            key,
        }: LocateRequest,
    ) -> Result<bool, OrdersError> {
        self.begin().await?;
        let status = self.find(order)?.status();
        if let Some(key) = key {
            let known = *self.location_keys.lock().entry(key.id).or_insert(key);
            if known != key {
                return Err(OrdersError::KeyReused);
            }
            if self.positions.lock().contains_key(&order) {
                return Ok(true);
            }
        }
        if status != Status::InTransit {
            return Err(OrdersError::NotInTransit { status });
        }
        self.positions.lock().insert(order, position);
        Ok(false)
    }

    fn on_inspect(&self, order: OrderId) -> Result<ActorReport, OrdersError> {
        let order = self.find(order)?;
        Ok(ActorReport {
            state: "quarantined",
            shard: 7,
            epoch: 3,
            version: Some(order.version()),
            mailbox: 2,
            restarts: 5,
            last_error: Some((
                "a fault in the handler".into(),
                Timestamp(1_767_225_600_000),
            )),
        })
    }

    fn on_release(&self, order: OrderId) -> Result<bool, OrdersError> {
        self.find(order)
            .map(|order| order.version() == Version::FIRST)
    }
}

pub(super) fn away() -> BoxError {
    "connection refused".into()
}

#[async_trait]
impl Journal for MemoryOrders {
    async fn append(&self, _: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError> {
        Err(AppendError::Unavailable(away()))
    }

    async fn announce(&self) -> Result<(), JournalError> {
        Err(JournalError::Unavailable(away()))
    }

    async fn load(&self, _: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError> {
        Err(JournalError::Unavailable(away()))
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError> {
        if *self.journal_away.lock() {
            return Err(JournalError::Unavailable(away()));
        }
        let place = |order: &Order| (order.created_at(), order.id);
        let orders = self.orders.lock();
        let mut found: Vec<Order> = orders.values().map(|order| (**order).clone()).collect();
        let wanted = &filter.statuses;
        found.retain(|order| wanted.is_empty() || wanted.contains(&order.status()));
        found.retain(|order| {
            filter
                .customer
                .is_none_or(|who| order.placed.customer == who)
        });
        found.retain(|order| filter.before.is_none_or(|before| place(order) < before));
        found.sort_by_key(|order| std::cmp::Reverse(place(order)));
        found.truncate(filter.limit as usize);
        Ok(found)
    }

    async fn due(&self, _: &[ShardId], _: Timestamp, _: u32) -> Result<Vec<Due>, JournalError> {
        Err(JournalError::Unavailable(away()))
    }

    async fn ping(&self) -> Result<(), JournalError> {
        if *self.journal_away.lock() {
            return Err(JournalError::Unavailable(away()));
        }
        Ok(())
    }
}

/// Everything waits since it was last changed; what is cancelled is stuck.
#[async_trait]
impl Sagas for MemoryOrders {
    async fn waiting(&self, filter: &WaitingFilter) -> Result<Vec<Waiting>, JournalError> {
        let orders = self.orders.lock();
        let mut found: Vec<Waiting> = orders
            .values()
            .map(|order| Waiting {
                order: order.id,
                status: order.status(),
                since: order.updated_at(),
                deadline: order.updated_at().plus(Duration::from_mins(1)),
                asked_again: 3,
            })
            .filter(|one| filter.stuck.is_none() || one.status == Status::Cancelled)
            .filter(|one| {
                filter
                    .after
                    .is_none_or(|after| (one.since, one.order) > after)
            })
            .collect();
        found.sort_unstable_by_key(|one| (one.since, one.order));
        found.truncate(filter.limit as usize);
        Ok(found)
    }

    async fn count_stuck(&self, _: &[ShardId], _: Stuck, _: u32) -> Result<u64, JournalError> {
        Err(JournalError::Unavailable(away()))
    }
}

/// An outbox with three rows.
pub struct MemoryOutbox;

#[async_trait]
impl Outbox for MemoryOutbox {
    fn name(&self) -> &'static str {
        "orders"
    }

    async fn lease(&self, _: &str, _: Duration) -> Result<Vec<u16>, OutboxError> {
        Err(OutboxError(away()))
    }

    async fn release(&self, _: &str) -> Result<(), OutboxError> {
        Err(OutboxError(away()))
    }

    async fn exchange(&self, _: &[RowId], _: &Wanted) -> Result<Fetched, OutboxError> {
        Err(OutboxError(away()))
    }

    async fn set_aside(&self, _: &[UnreadableRow]) -> Result<(), OutboxError> {
        Err(OutboxError(away()))
    }

    async fn take_back(&self, _: &[u16]) -> Result<u64, OutboxError> {
        Err(OutboxError(away()))
    }

    async fn wait(&self, _: Duration) {}

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        Ok(OutboxStats {
            pending: 3,
            oldest_age: Some(Duration::from_millis(1_500)),
            set_aside: 1,
        })
    }
}

/// Dead letters of `FULFILLMENT_UPDATES`, at partition 0, offsets 4 to 6.
#[derive(Default)]
pub struct FakeDeadLetters {
    pub sent: Mutex<Vec<DeadLetterId>>,
}

impl FakeDeadLetters {
    fn letters() -> impl Iterator<Item = DeadLetter> {
        (4..7).map(|offset| DeadLetter {
            id: DeadLetterId {
                topic: "FULFILLMENT_UPDATES".into(),
                partition: 0,
                offset,
            },
            origin: Some((2, 17)),
            key: None,
            code: "malformed".into(),
            reason: "not JSON".into(),
            group: "orders".into(),
            parked_at: "2026-01-01T00:00:00.000Z".into(),
            sent_again: None,
            payload_left_out: None,
            headers: BTreeMap::from([("ce_id".into(), "1".into())]),
            payload: Some("{".into()),
        })
    }
}

#[async_trait]
impl DeadLetterAdmin for FakeDeadLetters {
    async fn list(
        &self,
        topic: Option<&str>,
        from: Option<&DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterAdminError> {
        if topic.is_some_and(|topic| topic != "FULFILLMENT_UPDATES") {
            return Err(DeadLetterAdminError::UnknownTopic);
        }
        let first = from.map_or(0, |from| from.offset);
        let letters = Self::letters().filter(|letter| letter.id.offset >= first);
        Ok(letters.take(limit).collect())
    }

    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeadLetterAdminError> {
        Ok(Self::letters().find(|letter| letter.id == *id))
    }

    async fn send_again(&self, id: &DeadLetterId) -> Result<(), DeadLetterAdminError> {
        self.show(id).await?.ok_or(DeadLetterAdminError::NotFound)?;
        if id.offset == 6 {
            return Err(DeadLetterAdminError::LeftOut);
        }
        self.sent.lock().push(id.clone());
        Ok(())
    }
}
