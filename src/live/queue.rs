//! The bounded queue between the hub and one socket or stream.
//!
//! The hub pushes, the socket takes. While there is room every update is kept; an order whose next
//! update finds no room gives up those that it has waiting for its newest state, and becomes one
//! snapshot when its turn comes. So a queue holds at most [`QueueLimits::updates`] updates and, for
//! each order that it follows, one state and one position, however slow the reader is; pushing
//! never waits for it. What is taken is checked against the version that the client has.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::invariants::Invariant;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use super::sequence::Sequence;
use crate::codec::live;
use crate::ports::cache::Position;
use crate::ports::live::{LiveHub, LiveItem, Session};
use crate::telemetry::{self, names};

/// How much one queue holds.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Waiting updates. An order has about six versions: ten busy orders may burst at once.
    pub updates: usize,
    /// Bytes of waiting updates: 64 with reasons of a usual length.
    pub update_bytes: usize,
    /// Orders followed at once, each with at most one waiting state: a courier company's desk
    /// follows hundreds, a customer a few.
    pub orders: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            updates: 64,
            update_bytes: 32 * 1024,
            orders: 1_000,
        }
    }
}

/// Capacity that an emptied queue keeps: an idle socket should cost little.
const CAPACITY_KEPT: usize = 4;

/// A queue of frames for one socket or stream.
pub struct Queue {
    id: u64,
    limits: QueueLimits,
    hub: Arc<dyn LiveHub>,
    state: Mutex<State>,
    wake: Notify,
}

/// What a frame tells, as the `type` of the message and SSE's `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The whole order.
    Snapshot,
    /// One version.
    Update,
    /// The courier's position.
    Location,
}

/// What is to be written next.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: FrameKind,
    /// The version that the client has after it; none for a position.
    pub version: Option<Version>,
    /// The message's JSON, without line breaks.
    pub json: Bytes,
    /// When its commit was known, if it is fresh.
    pub committed: Option<Instant>,
}

/// The client follows as many orders as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a connection may follow {limit} orders")]
pub struct TooManyOrders {
    /// How many it may.
    pub limit: usize,
}

/// The next frame would break the sequence (I7): a defect, counted where it was found. The
/// connection has to end; the client comes back with the version that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the next frame of order {order} would break its sequence")]
pub struct BrokenSequence {
    /// Whose.
    pub order: OrderId,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    updates: usize,
    update_bytes: usize,
    followed: HashMap<OrderId, Followed>,
}

/// A place in the line. At most one `Newest` and one `Location` of an order.
enum Item {
    Update {
        order: OrderId,
        version: Version,
        frame: Bytes,
        committed: Option<Instant>,
    },
    Newest(OrderId),
    Location(OrderId),
}

struct Followed {
    /// What the client has once everything that waits is written.
    queued: Sequence,
    /// What the client has.
    written: Sequence,
    /// How many updates of this order wait.
    updates: usize,
    /// The state that its `Newest` item shows.
    newest: Option<Arc<Order>>,
    /// The frame that its `Location` item shows.
    location: Option<Bytes>,
    /// The last position seen, for snapshots.
    position: Option<Position>,
}

impl Queue {
    /// A queue with the usual limits.
    pub fn open(hub: Arc<dyn LiveHub>) -> Arc<Self> {
        Self::with_limits(hub, QueueLimits::default())
    }

    /// A queue with other limits.
    pub fn with_limits(hub: Arc<dyn LiveHub>, limits: QueueLimits) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        metrics::gauge!(names::LIVE_SESSIONS).increment(1);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            limits,
            hub,
            state: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Expects `order` from `since` on; to be called before the subscription is asked for. An
    /// earlier subscription to it ends here, with what of it is unwritten.
    pub fn follow(&self, order: OrderId, since: Option<Version>) -> Result<(), TooManyOrders> {
        let limit = self.limits.orders;
        // Only this connection's own task follows and unfollows, so the two looks agree.
        let known = {
            let state = self.state.lock();
            let known = state.followed.contains_key(&order);
            if !known && state.followed.len() >= limit {
                return Err(TooManyOrders { limit });
            }
            known
        };
        if known {
            self.unfollow(order);
        }
        let followed = Followed {
            queued: Sequence::starting_at(since),
            written: Sequence::starting_at(since),
            updates: 0,
            newest: None,
            location: None,
            position: None,
        };
        self.state.lock().followed.insert(order, followed);
        Ok(())
    }

    /// Ends the subscription to `order`: nothing of it is taken after this.
    pub fn unfollow(&self, order: OrderId) {
        // First the hub, which then delivers no more; without this queue's lock, because the hub
        // delivers while it holds its own.
        self.hub.detach(order, self.id);
        let mut state = self.state.lock();
        if state.followed.remove(&order).is_some() {
            state.items.retain(|item| item.order() != order);
            state.recount();
        }
    }

    /// The next frame, if any waits.
    pub fn take(&self) -> Result<Option<Frame>, BrokenSequence> {
        let (order, position) = {
            let mut state = self.state.lock();
            match state.next()? {
                None => return Ok(None),
                Some(Next::Ready(frame)) => return Ok(Some(frame)),
                Some(Next::Snapshot(order, position)) => (order, position),
            }
        };
        // Encoded without the lock: the actor may be pushing.
        Ok(Some(Frame {
            kind: FrameKind::Snapshot,
            version: Some(order.version()),
            json: live::snapshot(&order, position),
            committed: None,
        }))
    }

    /// Returns when something waits to be taken. For one task.
    pub async fn ready(&self) {
        // A push leaves its signal behind, so one that comes after the look is not missed; and a
        // signal for what has been taken meanwhile only costs a look.
        while self.state.lock().items.is_empty() {
            self.wake.notified().await;
        }
    }

    /// How much waits, for tests: items, and bytes of updates.
    pub fn backlog(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.items.len(), state.update_bytes)
    }
}

impl Session for Queue {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, item: LiveItem) {
        self.state.lock().push(item, &self.limits);
        self.wake.notify_one();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for order in self.state.get_mut().followed.keys() {
            self.hub.detach(*order, self.id);
        }
        metrics::gauge!(names::LIVE_SESSIONS).decrement(1);
    }
}

impl Item {
    fn order(&self) -> OrderId {
        match self {
            Self::Update { order, .. } | Self::Newest(order) | Self::Location(order) => *order,
        }
    }
}

enum Next {
    Ready(Frame),
    Snapshot(Arc<Order>, Option<Position>),
}

impl State {
    fn push(&mut self, item: LiveItem, limits: &QueueLimits) {
        match item {
            LiveItem::Update {
                order,
                version,
                frame,
                committed,
            } => self.push_update(&order, version, frame, committed, limits),
            LiveItem::Snapshot { order, position } => {
                let Some(followed) = self.followed.get_mut(&order.id) else {
                    return;
                };
                followed.position = position;
                if followed.queued.snapshot(order.version()) {
                    self.show_newest(order);
                }
            }
            LiveItem::Location {
                order,
                position,
                frame,
            } => {
                let Some(followed) = self.followed.get_mut(&order) else {
                    return;
                };
                followed.position = Some(position);
                if followed.location.replace(frame).is_none() {
                    self.items.push_back(Item::Location(order));
                }
            }
        }
    }

    fn push_update(
        &mut self,
        order: &Arc<Order>,
        version: Version,
        frame: Bytes,
        committed: Option<Instant>,
        limits: &QueueLimits,
    ) {
        let Some(followed) = self.followed.get_mut(&order.id) else {
            return;
        };
        if followed.queued.at().is_some_and(|at| version <= at) {
            return;
        }
        let has_room =
            self.updates < limits.updates && self.update_bytes + frame.len() <= limits.update_bytes;
        if has_room && followed.queued.update(version) {
            followed.updates += 1;
            self.updates += 1;
            self.update_bytes += frame.len();
            self.items.push_back(Item::Update {
                order: order.id,
                version,
                frame,
                committed,
            });
            return;
        }
        let folded = followed.updates + 1;
        metrics::counter!(names::LIVE_CONFLATED)
            .increment(u64::try_from(folded).unwrap_or(u64::MAX));
        // Rises: the order is at least at `version`, which is above all that is queued.
        if followed.queued.snapshot(order.version()) {
            self.show_newest(Arc::clone(order));
        }
    }

    /// Puts `order` in the place of everything versioned that waits for it.
    fn show_newest(&mut self, order: Arc<Order>) {
        let id = order.id;
        let Some(followed) = self.followed.get_mut(&id) else {
            return;
        };
        if order.status() != Status::InTransit && followed.location.take().is_some() {
            // A position that waits behind this state would come after the delivery.
            self.items
                .retain(|item| !matches!(item, Item::Location(order) if *order == id));
        }
        let has_place = followed.newest.replace(order).is_some();
        if std::mem::take(&mut followed.updates) > 0 {
            self.items
                .retain(|item| !matches!(item, Item::Update { order, .. } if *order == id));
            self.recount();
        }
        if !has_place {
            self.items.push_back(Item::Newest(id));
        }
    }

    fn next(&mut self) -> Result<Option<Next>, BrokenSequence> {
        while let Some(item) = self.items.pop_front() {
            if self.items.is_empty() {
                self.items.shrink_to(CAPACITY_KEPT);
            }
            if let Item::Update { frame, .. } = &item {
                self.updates -= 1;
                self.update_bytes -= frame.len();
            }
            let id = item.order();
            // Ending a subscription takes its items out; one without is nobody's.
            let Some(followed) = self.followed.get_mut(&id) else {
                continue;
            };
            if let Some(next) = followed.next(item)? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    fn recount(&mut self) {
        (self.updates, self.update_bytes) =
            self.items
                .iter()
                .fold((0, 0), |(count, bytes), item| match item {
                    Item::Update { frame, .. } => (count + 1, bytes + frame.len()),
                    Item::Newest(_) | Item::Location(_) => (count, bytes),
                });
    }
}

impl Followed {
    fn next(&mut self, item: Item) -> Result<Option<Next>, BrokenSequence> {
        match item {
            Item::Update {
                order,
                version,
                frame,
                committed,
            } => {
                self.updates -= 1;
                if !self.written.update(version) {
                    return Err(self.broken(order, "update", version));
                }
                Ok(Some(Next::Ready(Frame {
                    kind: FrameKind::Update,
                    version: Some(version),
                    json: frame,
                    committed,
                })))
            }
            Item::Newest(_) => {
                let Some(order) = self.newest.take() else {
                    return Ok(None);
                };
                if !self.written.snapshot(order.version()) {
                    return Err(self.broken(order.id, "snapshot", order.version()));
                }
                let position = self
                    .position
                    .filter(|_| order.status() == Status::InTransit);
                Ok(Some(Next::Snapshot(order, position)))
            }
            Item::Location(_) => Ok(self.location.take().map(|json| {
                Next::Ready(Frame {
                    kind: FrameKind::Location,
                    version: None,
                    json,
                    committed: None,
                })
            })),
        }
    }

    fn broken(&self, order: OrderId, kind: &str, version: Version) -> BrokenSequence {
        let has = self.written.at();
        telemetry::violated(
            Invariant::Live,
            &format!("{kind} to version {version} of order {order} to a client that has {has:?}"),
        );
        BrokenSequence { order }
    }
}
