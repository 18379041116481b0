//! Orders of other replicas that clients of this one watch: one subscription for each order, however many
//! clients. The owner tells of every change; the newest state is published to the hub, which gives every
//! listener what it lacks. Leaves what is known of one order to [`super::mirrored`], and finding and asking
//! the owner to [`Upstream`].
//!
//! For every new listener the owner is asked again, so that none begins with less than was acknowledged
//! before; listeners that come together share one request. A listener is attached under the lock under which
//! every state is published.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::link::Peer;
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::mirror_settings::MirrorSettings;
use super::mirrored::{Mirrored, Waiting};
use super::upstream::{Upstream, UpstreamAnswer};
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;
use crate::ports::live::{LiveHub, LiveListener};

/// The outcome of a subscription.
#[derive(Clone, Debug)]
pub enum Subscribed {
    /// This replica owns the order now.
    Here,
    /// The listener is attached, from this state on.
    There(Arc<Order>),
}

/// The mirrors of one replica. At most one for each order that its clients watch.
pub struct Mirror {
    hub: Arc<dyn LiveHub>,
    upstream: Weak<dyn Upstream>,
    settings: MirrorSettings,
    orders: Mutex<BTreeMap<OrderId, Arc<Mirrored>>>,
    numbers: AtomicU64,
    /// Rises when links are lost and owners change: a request that was in flight then is repeated.
    disturbances: AtomicU64,
    asking: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Mirror {
    /// Mirrors nothing yet. Its tasks end with `stop`.
    pub fn new(
        hub: Arc<dyn LiveHub>,
        upstream: Weak<dyn Upstream>,
        settings: MirrorSettings,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub,
            upstream,
            asking: Semaphore::new(settings.asked_at_once),
            settings,
            orders: Mutex::default(),
            numbers: AtomicU64::new(1),
            disturbances: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// How many orders are mirrored; for tests and gauges.
    pub fn mirrored(&self) -> usize {
        self.orders.lock().len()
    }

    /// Subscribes `listener` to an order of another replica.
    pub async fn subscribe(
        self: &Arc<Self>,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Subscribed, OrdersError> {
        let deadline = Instant::now() + self.settings.wait;
        let waiting = self.wait_in(order);
        let mirrored = Arc::clone(&waiting.mirrored);
        mirrored.wake.notify_one();
        loop {
            let mut answered = std::pin::pin!(mirrored.answered.notified());
            answered.as_mut().enable();
            {
                let state = mirrored.state.lock();
                if state.is_closed() {
                    return Ok(Subscribed::Here);
                }
                if state.confirmed >= waiting.asking
                    && let Some(newest) = &state.newest
                {
                    self.hub
                        .attach(listener, since, newest, state.position_of(newest));
                    return Ok(Subscribed::There(Arc::clone(newest)));
                }
                if let Some((asking, error)) = &state.failed
                    && *asking >= waiting.asking
                {
                    return Err(error.clone());
                }
            }
            if timeout_at(deadline, answered).await.is_err() {
                return Err(OrdersError::NotOwner);
            }
        }
    }

    /// Starts a mirror for an order that already has listeners and that this replica no longer owns.
    pub fn cover(self: &Arc<Self>, order: OrderId) {
        if self.hub.is_watched(order) {
            self.find_or_start(order);
        }
    }

    /// Takes in what the owner tells of `order`. `false` if nobody here watches it.
    pub fn told(
        &self,
        order: OrderId,
        number: u64,
        newest: Option<Arc<Order>>,
        position: Option<Position>,
    ) -> bool {
        let Some(mirrored) = self.find(order) else {
            return false;
        };
        let mut state = mirrored.state.lock();
        if state.is_closed() {
            return false;
        }
        if number == state.number {
            state.heard();
        }
        // A committed state is true whichever replica tells of it.
        if let Some(newest) = newest {
            state.take_in(newest, &*self.hub);
        }
        // A former owner may tell an older position once more.
        let newer = |at: &Position| number == state.number && at.replaces(state.position);
        if let Some(position) = position.filter(newer) {
            state.position = Some(position);
            self.hub.locate(order, position);
        }
        true
    }

    /// The owner that tells under `number` no longer owns the order.
    pub fn moved(&self, order: OrderId, number: u64) {
        if let Some(mirrored) = self.find(order) {
            mirrored.disturb(|state| state.number == number);
        }
    }

    /// The link to `peer` was lost, and with it perhaps what the peer has told.
    pub fn disconnected(&self, peer: &(NodeId, Incarnation)) {
        self.disturb(|_, source| source.node == peer.0 && source.incarnation == peer.1);
    }

    /// Asks again for every order for which `is_over` holds. It is given the order and its last known owner.
    pub fn disturb(&self, is_over: impl Fn(OrderId, &Peer) -> bool) {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
        for mirrored in self.all() {
            let order = mirrored.order;
            mirrored.disturb(|state| {
                let source = state.source.as_ref();
                source.is_some_and(|source| is_over(order, source))
            });
        }
    }

    /// This replica owns the orders for which `is_here` holds: ends their mirrors. From here on no listener
    /// is attached to a mirror's state.
    pub fn end(&self, is_here: impl Fn(OrderId) -> bool) {
        for mirrored in self.all() {
            if is_here(mirrored.order) {
                mirrored.state.lock().close();
                self.forget(&mirrored);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Mirrored>> {
        self.orders.lock().values().cloned().collect()
    }

    fn find(&self, order: OrderId) -> Option<Arc<Mirrored>> {
        self.orders.lock().get(&order).cloned()
    }

    fn find_or_start(self: &Arc<Self>, order: OrderId) -> Arc<Mirrored> {
        let mut orders = self.orders.lock();
        let entry = orders.entry(order).or_insert_with(|| {
            let mirrored = Arc::new(Mirrored::new(order));
            let (mirror, task) = (Arc::clone(self), Arc::clone(&mirrored));
            self.tasks.spawn(async move {
                let stop = mirror.stop.clone();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = mirror.run(task) => {}
                }
            });
            mirrored
        });
        Arc::clone(entry)
    }

    /// Removes a closed mirror, and signals those who wait for it.
    fn forget(&self, closed: &Arc<Mirrored>) {
        let mut orders = self.orders.lock();
        if orders
            .get(&closed.order)
            .is_some_and(|current| Arc::ptr_eq(current, closed))
        {
            orders.remove(&closed.order);
        }
        drop(orders);
        closed.answered.notify_waiters();
        closed.wake.notify_one();
    }

    /// Registers a listener that waits to be attached. The loop ends: a closed mirror is removed before the
    /// next look-up.
    fn wait_in(self: &Arc<Self>, order: OrderId) -> Waiting {
        loop {
            let mirrored = self.find_or_start(order);
            let mut state = mirrored.state.lock();
            if state.is_closed() {
                drop(state);
                self.forget(&mirrored);
                continue;
            }
            state.waiting += 1;
            state.asked += 1;
            let asking = state.asked;
            drop(state);
            return Waiting { mirrored, asking };
        }
    }

    /// Runs one mirror from start to end.
    async fn run(&self, mirrored: Arc<Mirrored>) {
        let mut pause = self.settings.retry;
        loop {
            let disturbances = self.disturbances.load(Ordering::SeqCst);
            let number = self.numbers.fetch_add(1, Ordering::SeqCst);
            let asking = {
                let mut state = mirrored.state.lock();
                state.watch_begins(number);
                state.asked
            };
            let answer = self.ask(mirrored.order, number).await;
            let failed = match answer {
                Ok(UpstreamAnswer::Here) => {
                    mirrored.state.lock().close();
                    return self.forget(&mirrored);
                }
                Ok(UpstreamAnswer::There {
                    order,
                    source,
                    is_pushed,
                }) => {
                    let mut state = mirrored.state.lock();
                    state.take_in(order, &*self.hub);
                    state.answered(source, is_pushed);
                    (state.confirmed, state.failed) = (asking, None);
                    // A link was lost, or an owner changed, while the answer was in flight.
                    if self.disturbances.load(Ordering::SeqCst) != disturbances {
                        state.disturb();
                        mirrored.wake.notify_one();
                    }
                    false
                }
                Err(error) => {
                    tracing::debug!(order = %mirrored.order, %error, "owner not asked");
                    mirrored.state.lock().failed = Some((asking, error));
                    true
                }
            };
            mirrored.answered.notify_waiters();
            pause = if failed {
                (pause * 2).min(self.settings.retry_most)
            } else {
                self.settings.retry
            };
            if !self
                .until_due(&mirrored, asking, failed.then_some(pause))
                .await
            {
                return;
            }
        }
    }

    async fn ask(&self, order: OrderId, number: u64) -> Result<UpstreamAnswer, OrdersError> {
        // The semaphore is never closed.
        let _turn = self.asking.acquire().await;
        let Some(upstream) = self.upstream.upgrade() else {
            return Err(OrdersError::NotOwner);
        };
        upstream.watch(order, number).await
    }

    /// Returns when the owner has to be asked again; `false` if the mirror has ended.
    async fn until_due(
        &self,
        mirrored: &Arc<Mirrored>,
        asking: u64,
        retry: Option<Duration>,
    ) -> bool {
        let poll = mirrored.state.lock().is_polled();
        let poll = poll.then_some(self.settings.poll);
        let again = retry.or(poll).map(|after| Instant::now() + after);
        let heard_by = Instant::now() + self.settings.idle_check;
        loop {
            let nap = again.map_or(self.settings.idle_check, |again| {
                again.saturating_duration_since(Instant::now())
            });
            tokio::select! {
                biased;
                () = mirrored.wake.notified() => {}
                () = sleep(nap) => {}
            }
            let (number, source) = {
                let mut state = mirrored.state.lock();
                if state.is_closed() {
                    return false;
                }
                let is_idle = state.waiting == 0 && !self.hub.is_watched(mirrored.order);
                let mut is_due = again.is_some_and(|again| Instant::now() >= again);
                if Instant::now() >= heard_by && state.is_unheard() {
                    tracing::debug!(order = %mirrored.order, "the owner doesn't push: it is asked");
                    state.poll_until_heard();
                    is_due = true;
                }
                let is_wanted = state.asked > asking || (state.is_stale() && retry.is_none());
                if !is_idle {
                    if is_due || is_wanted {
                        return true;
                    }
                    continue;
                }
                state.close();
                (state.number, state.source.clone())
            };
            self.forget(mirrored);
            if let (Some(source), Some(upstream)) = (source, self.upstream.upgrade()) {
                upstream.unwatch(mirrored.order, number, &source).await;
            }
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::codec::samples;
    use crate::live::backlog::QueueLimits;
    use crate::live::hub::Hub;
    use crate::live::queue::Queue;

    struct Nobody;

    #[async_trait]
    impl Upstream for Nobody {
        async fn watch(&self, _: OrderId, _: u64) -> Result<UpstreamAnswer, OrdersError> {
            Err(OrdersError::NotOwner)
        }

        async fn unwatch(&self, _: OrderId, _: u64, _: &Peer) {}
    }

    #[tokio::test]
    async fn an_older_position_of_the_owner_is_not_told_after_a_newer_one() {
        let hub = Hub::new();
        let queue = Queue::with_limits(Arc::clone(&hub) as _, QueueLimits::default());
        let order = Arc::new(samples::order(&[]).0);
        queue.follow(order.id, Some(order.version())).expect("room");
        hub.attach(Arc::clone(&queue) as _, Some(order.version()), &order, None);
        let nobody: Weak<dyn Upstream> = Weak::<Nobody>::new();
        let stop = CancellationToken::new();
        let mirror = Mirror::new(hub, nobody, MirrorSettings::default(), stop);
        // The mirror's task begins with the next await, so it hasn't asked under any number yet.
        let mirrored = mirror.find_or_start(order.id);
        for minute in [5, 4, 6, 3] {
            let position = Position {
                lat: 52.5,
                lon: 13.4,
                at: samples::minutes(minute),
            };
            assert!(mirror.told(order.id, 0, None, Some(position)));
        }
        let known = mirrored.state.lock().position.expect("told");
        assert_eq!(known.at, samples::minutes(6));
        let frame = queue.take().expect("in sequence").expect("a frame");
        let shown: serde_json::Value = serde_json::from_slice(&frame.json).expect("JSON");
        assert_eq!(shown["at"], "2026-01-31T12:06:00.250Z");
    }
}
