//! The registry of listeners: by order, each with the last version that it was given. It decides what each
//! listener lacks; how a listener handles that is left to the listener.
//!
//! Listeners are held weakly: when a socket ends, its queue is dropped, and the queue removes its entries.
//! Locks: the map's shard is locked only to find an order's entry. The entry's own lock is held while its
//! listeners are served; this keeps their frames in order and holds up no other order.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use crate::codec::live;
use crate::model::position::Position;
use crate::ports::live::{LiveHub, LiveItem, LiveListener};

/// The hub of one replica.
#[derive(Default)]
pub struct Hub {
    orders: DashMap<OrderId, Arc<OrderListeners>>,
}

/// The listeners of one order.
#[derive(Default)]
struct OrderListeners {
    state: Mutex<OrderListenersState>,
}

#[derive(Default)]
struct OrderListenersState {
    /// Most orders are watched by one customer.
    listeners: SmallVec<[AttachedListener; 1]>,
    /// Set when the entry became empty and was removed from the map: a caller that still holds it must look
    /// it up again.
    is_closed: bool,
}

struct AttachedListener {
    id: u64,
    last: Version,
    listener: Weak<dyn LiveListener>,
}

/// Listeners that were alive during a walk. When the last reference to a listener is dropped, it removes its
/// entries from the hub. So it must not be dropped while an entry is locked: declare this before taking the
/// lock.
type Held = Vec<Arc<dyn LiveListener>>;

impl Hub {
    /// An empty hub.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many orders have listeners; for tests and gauges.
    pub fn watched_orders(&self) -> usize {
        self.orders.len()
    }

    /// Runs `serve` on every listener of `order` that is alive, and forgets the others.
    fn for_each(
        &self,
        order: OrderId,
        mut serve: impl FnMut(&mut AttachedListener, &dyn LiveListener),
    ) {
        let Some(watchers) = self.find(order) else {
            return;
        };
        let mut held: Held = Vec::new();
        let is_empty = {
            let mut state = watchers.state.lock();
            held.reserve_exact(state.listeners.len());
            state.listeners.retain(|attached| {
                let Some(listener) = attached.listener.upgrade() else {
                    return false;
                };
                serve(attached, &*listener);
                held.push(listener);
                true
            });
            state.close_if_empty()
        };
        if is_empty {
            self.forget(order, &watchers);
        }
    }

    fn find(&self, order: OrderId) -> Option<Arc<OrderListeners>> {
        self.orders.get(&order).map(|entry| Arc::clone(&entry))
    }

    fn forget(&self, order: OrderId, closed: &Arc<OrderListeners>) {
        self.orders
            .remove_if(&order, |_, current| Arc::ptr_eq(current, closed));
    }
}

impl LiveHub for Hub {
    fn attach(
        &self,
        listener: Arc<dyn LiveListener>,
        since: Option<Version>,
        order: &Arc<Order>,
        position: Option<Position>,
    ) {
        let attached = AttachedListener {
            id: listener.id(),
            last: order.version(),
            listener: Arc::downgrade(&listener),
        };
        // The loop ends: an entry is closed only once, and a closed one is removed before the next look-up.
        loop {
            let watchers = Arc::clone(&self.orders.entry(order.id).or_default());
            let mut state = watchers.state.lock();
            if state.is_closed {
                drop(state);
                self.forget(order.id, &watchers);
                continue;
            }
            catch_up(&*listener, since, order, position);
            match state.listeners.iter_mut().find(|l| l.id == attached.id) {
                Some(known) => *known = attached,
                None => state.listeners.push(attached),
            }
            return;
        }
    }

    fn detach(&self, order: OrderId, listener: u64) {
        let Some(watchers) = self.find(order) else {
            return;
        };
        let is_empty = {
            let mut state = watchers.state.lock();
            if let Some(index) = state.listeners.iter().position(|l| l.id == listener) {
                state.listeners.swap_remove(index);
            }
            state.close_if_empty()
        };
        if is_empty {
            self.forget(order, &watchers);
        }
    }

    fn publish(&self, order: &Arc<Order>, committed: Option<Instant>) {
        let current = order.version();
        let mut frames = Frames::of(order);
        self.for_each(order.id, |attached, listener| {
            while attached.last < current {
                let version = attached.last.next();
                let Some(frame) = frames.update(version) else {
                    listener.deliver(LiveItem::Snapshot {
                        order: Arc::clone(order),
                        position: None,
                    });
                    attached.last = current;
                    return;
                };
                listener.deliver(LiveItem::Update {
                    order: Arc::clone(order),
                    version,
                    frame,
                    committed: committed.filter(|_| version == current),
                });
                attached.last = version;
            }
        });
    }

    fn locate(&self, order: OrderId, position: Position) {
        let mut frame: Option<Bytes> = None;
        self.for_each(order, |_, listener| {
            let frame = frame.get_or_insert_with(|| live::location(order, position));
            listener.deliver(LiveItem::Location {
                order,
                position,
                frame: frame.clone(),
            });
        });
    }

    fn is_watched(&self, order: OrderId) -> bool {
        self.orders.contains_key(&order)
    }

    fn watched(&self) -> Vec<OrderId> {
        let mut watched: Vec<_> = self.orders.iter().map(|entry| *entry.key()).collect();
        // The map's own order differs from run to run; the order in which callers handle the result must not.
        watched.sort_unstable();
        watched
    }
}

impl OrderListenersState {
    fn close_if_empty(&mut self) -> bool {
        self.is_closed |= self.listeners.is_empty();
        self.is_closed
    }
}

/// Delivers what a new listener lacks.
fn catch_up(
    listener: &dyn LiveListener,
    since: Option<Version>,
    order: &Arc<Order>,
    position: Option<Position>,
) {
    let snapshot = || LiveItem::Snapshot {
        order: Arc::clone(order),
        position,
    };
    let current = order.version();
    let Some(mut last) = since.filter(|since| *since <= current) else {
        return listener.deliver(snapshot());
    };
    while last < current {
        let version = last.next();
        let Some(frame) = live::update(order, version) else {
            return listener.deliver(snapshot());
        };
        listener.deliver(LiveItem::Update {
            order: Arc::clone(order),
            version,
            frame,
            committed: None,
        });
        last = version;
    }
    // A position has no version that would show a gap, so every listener that comes back gets the last one.
    if let Some(position) = position {
        listener.deliver(LiveItem::Location {
            order: order.id,
            position,
            frame: live::location(order.id, position),
        });
    }
}

/// The update frames of one order. Each is encoded at most once, and only if a listener lacks it.
struct Frames<'a> {
    order: &'a Order,
    encoded: SmallVec<[(Version, Bytes); 2]>,
}

impl<'a> Frames<'a> {
    fn of(order: &'a Order) -> Self {
        Self {
            order,
            encoded: SmallVec::new(),
        }
    }

    fn update(&mut self, version: Version) -> Option<Bytes> {
        if let Some((_, frame)) = self.encoded.iter().find(|(known, _)| *known == version) {
            return Some(frame.clone());
        }
        let frame = live::update(self.order, version)?;
        self.encoded.push((version, frame.clone()));
        Some(frame)
    }
}
