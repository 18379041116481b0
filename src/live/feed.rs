//! The orders of this replica that clients of other replicas watch. Each other replica has one listener here,
//! which keeps the newest state of each order until the link takes it. Pushing never waits.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::backoff::Backoff;
use trackops_cluster::directory::Directory;
use trackops_cluster::link::{Links, Peer};
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use super::queue::session_id;
use crate::codec::link::{Message, Subscriber};
use crate::model::orders_error::{Full, OrdersError};
use crate::model::position::Position;
use crate::ports::live::{LiveHub, LiveItem, LiveListener};
use crate::ports::orders::Orders;

/// Orders that one replica may watch: as many as its sockets can follow. Each costs one state.
const ORDERS_MAX: usize = 200_000;
/// The pauses after a link didn't take a state.
const RETRY: Backoff = Backoff::exact(Duration::from_millis(20), Duration::from_secs(1));

type PeerKey = (String, i64);

/// The listeners of all other replicas.
pub struct Feeds {
    hub: Arc<dyn LiveHub>,
    links: Arc<dyn Links>,
    directory: Arc<Directory>,
    by_peer: Mutex<BTreeMap<PeerKey, Arc<Feed>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The listener of one replica.
struct Feed {
    id: u64,
    peer: Peer,
    state: Mutex<FeedState>,
    wake: Notify,
    /// Cancelled when that incarnation of the replica has ended.
    over: CancellationToken,
}

#[derive(Default)]
struct FeedState {
    /// Each watched order with the number of its youngest watch.
    watched: BTreeMap<OrderId, u64>,
    /// What is still to be sent; at most one entry for each order.
    pending: BTreeMap<OrderId, Pending>,
}

/// What the replica is still to be told of one order.
struct Pending {
    number: u64,
    state: Option<Arc<Order>>,
    position: Option<Position>,
    is_moved: bool,
}

impl Feeds {
    /// No replica watches yet. The tasks end with `stop`.
    pub fn new(
        hub: Arc<dyn LiveHub>,
        links: Arc<dyn Links>,
        directory: Arc<Directory>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub,
            links,
            directory,
            by_peer: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// How many orders other replicas watch; for tests and gauges.
    pub fn watched(&self) -> usize {
        let all = self.by_peer.lock();
        all.values()
            .map(|feed| feed.state.lock().watched.len())
            .sum()
    }

    /// Has `subscriber` told of every change of `order` after the returned state.
    pub async fn watch(
        self: &Arc<Self>,
        orders: &dyn Orders,
        order: OrderId,
        subscriber: &Subscriber,
    ) -> Result<Arc<Order>, OrdersError> {
        let feed = self.find_or_start(&subscriber.peer);
        // Before the subscription, so that an item which the subscription delivers finds the watch.
        feed.expect(order, subscriber.number)?;
        let mut expected = Expected {
            feeds: self,
            feed: &feed,
            order,
            number: Some(subscriber.number),
        };
        let result = orders.subscribe(order, None, Arc::clone(&feed) as _).await;
        if result.is_ok() {
            expected.number = None;
        }
        result
    }

    /// `peer` no longer watches `order`, unless it has begun a new watch since `number`.
    pub fn unwatch(&self, peer: &(NodeId, Incarnation), order: OrderId, number: u64) {
        let feed = self
            .by_peer
            .lock()
            .get(&(peer.0.0.clone(), peer.1.0))
            .cloned();
        if let Some(feed) = feed
            && feed.forget(order, number)
        {
            self.hub.detach(order, feed.id);
        }
    }

    /// This replica no longer owns the orders for which `is_gone` holds: tells the replicas that watch them
    /// to ask the next owner.
    pub fn end(&self, is_gone: impl Fn(OrderId) -> bool) {
        let feeds: Vec<_> = self.by_peer.lock().values().cloned().collect();
        for feed in feeds {
            let gone: Vec<OrderId> = {
                let mut state = feed.state.lock();
                let gone: Vec<_> = state
                    .watched
                    .iter()
                    .filter(|(order, _)| is_gone(**order))
                    .map(|(order, number)| (*order, *number))
                    .collect();
                for (order, number) in &gone {
                    state.watched.remove(order);
                    state.pending(*order, *number).is_moved = true;
                }
                gone.into_iter().map(|(order, _)| order).collect()
            };
            // Without this feed's lock, because the hub delivers while it holds its own.
            for order in &gone {
                self.hub.detach(*order, feed.id);
            }
            if !gone.is_empty() {
                feed.wake.notify_one();
            }
        }
    }

    /// Ends the feeds of replicas that have come back as a later incarnation. A feed whose orders are all
    /// final would never notice by itself. A replica that only has no lease may still be alive and listen, so
    /// its feed stays.
    pub fn prune(&self) {
        let view = self.directory.view();
        for feed in self.by_peer.lock().values() {
            let is_later = |node: &trackops_cluster::membership::NodeView| {
                node.node == feed.peer.node && node.incarnation > feed.peer.incarnation
            };
            if view.nodes.iter().any(is_later) {
                feed.over.cancel();
            }
        }
    }

    fn find_or_start(self: &Arc<Self>, peer: &Peer) -> Arc<Feed> {
        let key = (peer.node.0.clone(), peer.incarnation.0);
        let mut feeds = self.by_peer.lock();
        let feed = feeds.entry(key).or_insert_with(|| {
            let feed = Arc::new(Feed {
                id: session_id(),
                peer: peer.clone(),
                state: Mutex::default(),
                wake: Notify::new(),
                over: CancellationToken::new(),
            });
            let (all, task) = (Arc::clone(self), Arc::clone(&feed));
            self.tasks.spawn(async move {
                let stop = all.stop.clone();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = task.over.cancelled() => all.over(&task),
                    () = all.run(&task) => all.over(&task),
                }
            });
            feed
        });
        Arc::clone(feed)
    }

    /// Sends the pending states until that incarnation of the replica is over.
    async fn run(&self, feed: &Feed) {
        let mut backoff = RETRY;
        let mut last = None;
        loop {
            let Some((order, pending)) = feed.next(last) else {
                // A push leaves its signal behind, so one that comes after the check isn't missed.
                feed.wake.notified().await;
                continue;
            };
            last = Some(order);
            let message = pending.message(order).encode();
            match self.links.send(&feed.peer, message).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    if self.is_gone(&feed.peer) {
                        return;
                    }
                    tracing::debug!(peer = feed.peer.node.0, %error, "state not pushed yet");
                    feed.put_back(order, pending);
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    fn is_gone(&self, peer: &Peer) -> bool {
        let view = self.directory.view();
        let is_it = |node: &trackops_cluster::membership::NodeView| {
            node.node == peer.node && node.incarnation == peer.incarnation
        };
        !view.nodes.iter().any(is_it)
    }

    fn over(&self, feed: &Feed) {
        let key = (feed.peer.node.0.clone(), feed.peer.incarnation.0);
        self.by_peer.lock().remove(&key);
        let watched = std::mem::take(&mut feed.state.lock().watched);
        for order in watched.into_keys() {
            self.hub.detach(order, feed.id);
        }
    }
}

/// A watch that is being set up. It is forgotten if it fails or is given up half way, for example at its
/// caller's deadline.
struct Expected<'a> {
    feeds: &'a Feeds,
    feed: &'a Feed,
    order: OrderId,
    /// The watch's number; `None` once it is set up.
    number: Option<u64>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.feed.forget(self.order, number);
        }
        if !self.feed.state.lock().watched.contains_key(&self.order) {
            // The watch failed, or ended meanwhile.
            self.feeds.hub.detach(self.order, self.feed.id);
        }
    }
}

impl Feed {
    fn expect(&self, order: OrderId, number: u64) -> Result<(), OrdersError> {
        let mut state = self.state.lock();
        if state.watched.len() >= ORDERS_MAX && !state.watched.contains_key(&order) {
            return Err(OrdersError::Overloaded {
                full: Full::Watches,
                retry_after: Duration::from_secs(1),
            });
        }
        let current = state.watched.entry(order).or_insert(number);
        *current = number.max(*current);
        Ok(())
    }

    /// Ends the watch of `order` if no younger one than `number` has begun. Returns whether it ended.
    fn forget(&self, order: OrderId, number: u64) -> bool {
        let mut state = self.state.lock();
        let is_over = state
            .watched
            .get(&order)
            .is_some_and(|current| *current <= number);
        if is_over {
            state.watched.remove(&order);
            state.pending.remove(&order);
        }
        is_over
    }

    /// Takes the next pending order after `last`, in turn, so that a busy order doesn't keep others waiting.
    fn next(&self, last: Option<OrderId>) -> Option<(OrderId, Pending)> {
        let mut state = self.state.lock();
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let later = state.pending.range((after, Bound::Unbounded)).next();
        let order = *later.or_else(|| state.pending.iter().next())?.0;
        state.pending.remove_entry(&order)
    }

    /// Puts back a state that could not be sent, unless a newer one has come meanwhile.
    fn put_back(&self, order: OrderId, unsent: Pending) {
        let mut state = self.state.lock();
        let is_watched = state.watched.contains_key(&order);
        if !is_watched && !unsent.is_moved {
            return;
        }
        let pending = state.pending(order, unsent.number);
        if pending.state.is_none() {
            pending.state = unsent.state;
        }
        pending.position = Position::newest(unsent.position, pending.position);
        pending.is_moved |= unsent.is_moved && !is_watched;
    }
}

impl LiveListener for Feed {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, item: LiveItem) {
        let (order, newest, position) = match item {
            LiveItem::Update { order, .. } => (order.id, Some(order), None),
            LiveItem::Snapshot { order, position } => (order.id, Some(order), position),
            LiveItem::Location {
                order, position, ..
            } => (order, None, Some(position)),
        };
        let mut state = self.state.lock();
        let Some(number) = state.watched.get(&order).copied() else {
            return;
        };
        let pending = state.pending(order, number);
        if let Some(newest) = newest {
            let is_newer = |known: &Arc<Order>| known.version() < newest.version();
            if pending.state.as_ref().is_none_or(is_newer) {
                pending.state = Some(newest);
            }
        }
        pending.position = Position::newest(pending.position, position);
        drop(state);
        self.wake.notify_one();
    }
}

impl FeedState {
    fn pending(&mut self, order: OrderId, number: u64) -> &mut Pending {
        let pending = self.pending.entry(order).or_insert(Pending {
            number,
            state: None,
            position: None,
            is_moved: false,
        });
        pending.number = number.max(pending.number);
        pending
    }
}

impl Pending {
    fn message(&self, order: OrderId) -> Message {
        let number = self.number;
        if self.is_moved {
            return Message::Moved { order, number };
        }
        // Once the order has arrived, its courier's position isn't needed.
        let on_its_way = |newest: &Arc<Order>| newest.status() == Status::InTransit;
        Message::State {
            order,
            number,
            state: self.state.clone(),
            position: self
                .position
                .filter(|_| self.state.as_ref().is_none_or(on_its_way)),
        }
    }
}

#[cfg(test)]
mod tests {
    use trackops_domain::event::Change;

    use super::*;
    use crate::codec::samples;

    #[test]
    fn the_newest_position_is_told() {
        let at = |minute: i64| Position {
            lat: 52.5,
            lon: 13.4,
            at: samples::minutes(minute),
        };
        let order = samples::id();
        let feed = Feed {
            id: 1,
            peer: Peer {
                node: NodeId("b".into()),
                incarnation: Incarnation(1),
                address: String::new(),
            },
            state: Mutex::default(),
            wake: Notify::new(),
            over: CancellationToken::new(),
        };
        feed.expect(order, 1).expect("there is room");
        let hear = |minute: i64| {
            feed.deliver(LiveItem::Location {
                order,
                position: at(minute),
                frame: bytes::Bytes::new(),
            });
        };
        for minute in [5, 4] {
            hear(minute);
        }
        let (_, unsent) = feed.next(None).expect("something");
        assert_eq!(unsent.position, Some(at(5)));
        // An older position came late, while the newest couldn't be sent.
        hear(3);
        feed.put_back(order, unsent);
        let (_, next) = feed.next(None).expect("something");
        assert_eq!(next.position, Some(at(5)));
    }

    #[test]
    fn the_courier_of_an_order_that_has_arrived_is_not_told() {
        let told = |changes: &[Change]| {
            let pending = Pending {
                number: 1,
                state: Some(Arc::new(samples::order(changes).0)),
                position: Some(Position {
                    lat: 52.5,
                    lon: 13.4,
                    at: samples::minutes(3),
                }),
                is_moved: false,
            };
            match pending.message(samples::id()) {
                Message::State { position, .. } => position.is_some(),
                _ => false,
            }
        };
        let steps = [
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier: None },
            Change::Delivered,
        ];
        assert!(told(&steps[..3]));
        assert!(!told(&steps));
    }
}
