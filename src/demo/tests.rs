//! The shop in a small world of its own: an order service and a bus in memory, with the clock paused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::ready;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use trackops_client::{Error, OrderContent, Problem};
use trackops_domain::status::Status;
use uuid::Uuid;

use super::places::Point;
use super::rest::Level;
use super::schedule::Seen;
use super::*;
use crate::codec::messages::FulfillmentUpdateV1;
use crate::model::topic::Topic;
use crate::ports::bus::{
    Beside, BusError, Consumer, InMessage, OutMessage, Polled, PublishError, RawMessage,
    Subscription,
};

const UNDER_WAY_MAX: usize = 20;

fn refused(status: u16) -> Error {
    let problem = Problem {
        status,
        ..Problem::default()
    };
    Error::Refused(Box::new(problem))
}

#[derive(Default)]
struct State {
    /// Status, version, when it was placed, when it came to its status.
    orders: BTreeMap<Uuid, (Status, u32, Instant, Instant)>,
    log: VecDeque<InMessage>,
    read: usize,
    stock: BTreeMap<String, u64>,
    positions: BTreeMap<Uuid, Vec<Point>>,
    calls: u32,
    published: u32,
    refuses: bool,
    bus_away: bool,
}

impl State {
    /// Commits a status and publishes it.
    fn to(&mut self, id: Uuid, status: Status) {
        let order = self.orders.get_mut(&id).expect("an order");
        let now = Instant::now();
        *order = (status, order.1 + 1, order.2, now);
        let body = json!({"orderId": id, "previousStatus": null, "status": status.as_str(),
            "version": order.1, "at": "2026-01-31T12:00:00.000Z", "by": "x"});
        let offset = i64::try_from(self.log.len()).expect("small");
        self.log.push_back(InMessage {
            topic: Topic::OrderStatusUpdated.as_str().into(),
            partition: 0,
            offset,
            key: None,
            headers: BTreeMap::new(),
            payload: Some(body.to_string().into()),
            timestamp_ms: 0,
        });
    }

    fn place(&mut self, status: Status) -> Uuid {
        let id = Uuid::now_v7();
        let now = Instant::now();
        self.orders.insert(id, (Status::Pending, 1, now, now));
        self.to(id, status);
        id
    }

    fn under_way(&self) -> usize {
        let live = |order: &&(Status, u32, Instant, Instant)| !order.0.is_final();
        self.orders.values().filter(live).count()
    }

    fn count(&self, status: Status) -> usize {
        self.orders
            .values()
            .filter(|order| order.0 == status)
            .count()
    }
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>, Arc<Notify>);

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.state();
        state.calls += 1;
        if state.refuses {
            return Err(refused(503));
        }
        Ok(state)
    }

    /// Opens the shop for `how_long`, then closes it.
    async fn open_for(&self, how_long: Duration) {
        let stop = CancellationToken::new();
        let work = run_with(Arc::new(self.clone()), Arc::new(self.clone()), 7, &stop);
        let closing = async {
            sleep(how_long).await;
            stop.cancel();
        };
        let both = async { tokio::join!(work, closing) };
        let limit = how_long + Duration::from_secs(5);
        timeout(limit, both).await.expect("the shop closes");
    }
}

#[async_trait]
impl Rest for World {
    async fn under_way(&self) -> Result<Vec<Seen>, Error> {
        let state = self.call()?;
        let live = state.orders.iter().filter(|(_, order)| !order.0.is_final());
        let seen = live.map(|(id, order)| Seen {
            id: *id,
            status: order.0,
            version: order.1,
            to: Some(places::STREETS[0].2),
        });
        Ok(seen.collect())
    }

    async fn place(&self, order: &OrderContent) -> Result<Uuid, Error> {
        let mut state = self.call()?;
        let available = |sku: &str| state.stock.get(sku).is_some_and(|n| *n > 0);
        let all = order.items.iter().all(|item| available(&item.sku));
        let id = state.place(if all {
            Status::Confirmed
        } else {
            Status::Rejected
        });
        assert!(state.under_way() <= UNDER_WAY_MAX, "bounded");
        self.1.notify_waiters();
        Ok(id)
    }

    async fn cancel(&self, order: Uuid, _: &str) -> Result<(), Error> {
        let mut state = self.call()?;
        let status = state.orders[&order].0;
        if !status.client_steps().contains(&Status::Cancelled) {
            return Err(refused(409));
        }
        state.to(order, Status::Cancelled);
        self.1.notify_waiters();
        Ok(())
    }

    async fn locate(&self, order: Uuid, at: Point) -> Result<(), Error> {
        let mut state = self.call()?;
        assert_eq!(state.orders[&order].0, Status::InTransit);
        state.positions.entry(order).or_default().push(at);
        Ok(())
    }

    async fn level(&self, sku: &str) -> Result<Option<Level>, Error> {
        let level = |on_hand: &u64| Level {
            reserved: 0,
            available: *on_hand,
        };
        Ok(self.call()?.stock.get(sku).map(level))
    }

    async fn stock(&self, sku: &str, on_hand: u64) -> Result<(), Error> {
        self.call()?.stock.insert(sku.into(), on_hand);
        Ok(())
    }
}

#[async_trait]
impl Bus for World {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        let mut state = self.state();
        let mut results = Vec::new();
        for message in messages {
            state.published += 1;
            if state.bus_away {
                results.push(Err(PublishError::Unavailable("away".into())));
                continue;
            }
            assert_eq!(&*message.topic, "FULFILLMENT_UPDATES");
            let body: FulfillmentUpdateV1 =
                serde_json::from_slice(&message.payload).expect("an update");
            assert_eq!(*message.key, body.order_id.to_string());
            assert!(message.headers.iter().any(|(name, _)| *name == "ce_id"));
            let wanted = Status::parse(&body.status).expect("a status");
            let current = state.orders[&body.order_id].0;
            if current.client_steps().contains(&wanted) && !state.refuses {
                state.to(body.order_id, wanted);
            }
            results.push(Ok(()));
        }
        self.1.notify_waiters();
        results
    }

    async fn forward(&self, _: RawMessage) -> Result<(), PublishError> {
        unreachable!("the shop forwards nothing")
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        assert_eq!(&*subscription.group, "trackops-demo");
        if self.state().bus_away {
            return Err(BusError("away".into()));
        }
        Ok(Box::new(self.clone()))
    }

    async fn missing_topics(&self, _: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        Ok(Vec::new())
    }

    async fn create_topics(&self, _: &[Arc<str>]) -> Result<(), BusError> {
        Ok(())
    }

    async fn read(
        &self,
        _: &str,
        _: Option<(i32, i64)>,
        _: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Consumer for World {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Polled, BusError> {
        let news = self.1.notified();
        let empty = {
            let state = self.state();
            if state.bus_away {
                return Err(BusError("away".into()));
            }
            state.read >= state.log.len()
        };
        if empty {
            let _ = timeout(wait, news).await;
        }
        let state = self.state();
        let messages = state.log.iter().skip(state.read).take(max).cloned();
        Ok(Polled::Messages(messages.collect()))
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        self.state().read = usize::try_from(next[0].2).expect("positive");
        ready(Ok(())).boxed()
    }

    async fn pause(&mut self, _: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        Ok(())
    }

    async fn resume(&mut self, _: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        Ok(())
    }

    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>> {
        ready(Ok(BTreeMap::new())).boxed()
    }

    async fn close(self: Box<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn orders_arrive_and_all_end_in_about_20_seconds() {
    let world = World::default();
    let by_hand = world.state().place(Status::Confirmed);
    world.open_for(Duration::from_secs(600)).await;
    let state = world.state();
    assert_eq!(state.orders[&by_hand].0, Status::Delivered);
    let placed = state.orders.len();
    assert!((100..=201).contains(&placed), "{placed} in ten minutes");
    for (id, (status, _, placed_at, at)) in &state.orders {
        let took = at.duration_since(*placed_at);
        assert!(took < Duration::from_secs(22), "{id} took {took:?}");
        if *status == Status::Delivered {
            assert!(took > Duration::from_secs(15), "{id} took {took:?}");
            let way = &state.positions[id];
            assert!(way.len() >= 6, "{id} was seen {} times", way.len());
            let north = |pair: &[Point]| pair[0].lat <= pair[1].lat;
            assert!(way.windows(2).all(north) || !way.windows(2).any(north));
        }
    }
    assert!(state.count(Status::Rejected) > 2, "something is sold out");
    assert!(state.count(Status::Cancelled) > 2, "somebody regrets");
    assert!(state.under_way() < 10, "none is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_new_run_goes_on_with_what_was_left() {
    let world = World::default();
    let left = [Status::Confirmed, Status::Preparing, Status::InTransit];
    let left = left.map(|status| world.state().place(status));
    // An earlier run has read the whole log.
    let read = world.state().log.len();
    world.state().read = read;
    world.open_for(Duration::from_secs(24)).await;
    for id in left {
        assert_eq!(world.state().orders[&id].0, Status::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_not_added_to_and_is_served() {
    let world = World::default();
    let crowd: Vec<Uuid> = (0..1_500)
        .map(|_| world.state().place(Status::Confirmed))
        .collect();
    world.open_for(Duration::from_secs(15)).await;
    assert_eq!(world.state().orders.len(), crowd.len(), "nobody joins it");
    world.open_for(Duration::from_secs(200)).await;
    let state = world.state();
    let served = |id: &&Uuid| state.orders[*id].0 == Status::Delivered;
    assert_eq!(crowd.iter().filter(served).count(), crowd.len());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_not_flooded() {
    let world = World::default();
    let order = world.state().place(Status::InTransit);
    world.state().refuses = true;
    world.open_for(Duration::from_secs(600)).await;
    {
        let state = world.state();
        assert!(state.calls < 80, "{} calls in ten minutes", state.calls);
        assert!(state.published <= 3, "{} messages", state.published);
    }
    world.state().refuses = false;
    world.open_for(Duration::from_secs(60)).await;
    assert_eq!(world.state().orders[&order].0, Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_waited_for() {
    let world = World::default();
    let order = world.state().place(Status::Confirmed);
    world.state().bus_away = true;
    let back = world.clone();
    let returning = async move {
        sleep(Duration::from_secs(300)).await;
        let mut state = back.state();
        assert!(state.published < 300, "{} attempts", state.published);
        assert!(state.under_way() <= UNDER_WAY_MAX);
        state.bus_away = false;
    };
    tokio::join!(world.open_for(Duration::from_secs(400)), returning);
    assert_eq!(world.state().orders[&order].0, Status::Delivered);
}
