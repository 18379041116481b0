//! The frames that wait for one socket or stream, and the orders that it follows: no locks, no waiting.
//!
//! While there is room, every update is kept. When an update finds no room, the order's newest state replaces
//! its waiting updates, and is sent as one snapshot when its turn comes. So there are at most
//! [`QueueLimits::updates`] updates and, for each followed order, one state and one position, however slow
//! the reader is. A taken frame is checked against the version that the client has.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::invariants::Invariant;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use super::sequence::Sequence;
use crate::model::position::Position;
use crate::ports::live::LiveItem;
use crate::telemetry::{self, names};

/// How much one queue holds.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Waiting updates. An order has about six versions: ten busy orders may burst at once.
    pub updates: usize,
    /// Bytes of waiting updates: 64 with reasons of a usual length.
    pub update_bytes: usize,
    /// Orders followed at once, each with at most one waiting state: a dispatcher at a courier company
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

/// The kind of a frame, as the message's `type` and SSE's `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The whole order.
    Snapshot,
    /// One version.
    Update,
    /// The courier's position.
    Location,
}

/// A frame to be written.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The frame's kind.
    pub kind: FrameKind,
    /// The version that the client has after this frame; none for a position.
    pub version: Option<Version>,
    /// The message's JSON, without line breaks.
    pub json: Bytes,
    /// When the change was committed, if it is fresh.
    pub committed: Option<Instant>,
}

/// The next frame would break the sequence (I7): a defect, which is counted where it is found. The connection
/// has to end; the client comes back with the version that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the next frame of order {order} would break its sequence")]
pub struct BrokenSequence {
    /// The order whose sequence would break.
    pub order: OrderId,
}

/// The backlog of one socket or stream.
#[derive(Default)]
pub struct Backlog {
    items: VecDeque<Item>,
    updates: usize,
    update_bytes: usize,
    followed: HashMap<OrderId, Followed>,
}

/// A waiting item. An order has at most one `Newest` and one `Location`.
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
    /// What the client has once all waiting frames are written.
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

impl Item {
    fn order(&self) -> OrderId {
        match self {
            Self::Update { order, .. } | Self::Newest(order) | Self::Location(order) => *order,
        }
    }
}

/// An item that was taken.
pub enum Next {
    /// To be written as it is.
    Ready(Frame),
    /// To be encoded as a snapshot; its sequence has been checked.
    Snapshot(Arc<Order>, Option<Position>),
}

impl Backlog {
    /// Expects `order` from `since` on. Anything known of the order before is forgotten.
    pub fn follow(&mut self, order: OrderId, since: Option<Version>) {
        self.unfollow(order);
        let followed = Followed {
            queued: Sequence::starting_at(since),
            written: Sequence::starting_at(since),
            updates: 0,
            newest: None,
            location: None,
            position: None,
        };
        self.followed.insert(order, followed);
    }

    /// Forgets `order` and its waiting items.
    pub fn unfollow(&mut self, order: OrderId) {
        if self.followed.remove(&order).is_some() {
            self.items.retain(|item| item.order() != order);
            self.recount();
        }
    }

    /// The orders that are followed.
    pub fn followed(&self) -> impl Iterator<Item = OrderId> {
        self.followed.keys().copied()
    }

    /// Whether `order` is followed.
    pub fn follows(&self, order: OrderId) -> bool {
        self.followed.contains_key(&order)
    }

    /// How many orders are followed.
    pub fn followed_count(&self) -> usize {
        self.followed.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items wait, and how many bytes of updates.
    pub fn size(&self) -> (usize, usize) {
        (self.items.len(), self.update_bytes)
    }

    /// Takes in an item that the hub delivers. An item of an order that isn't followed is dropped.
    pub fn push(&mut self, item: LiveItem, limits: &QueueLimits) {
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
                followed.position = Position::newest(followed.position, position);
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
                if !position.replaces(followed.position) {
                    return;
                }
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
        // This moves forward: the order is at least at `version`, which is above every queued version.
        if followed.queued.snapshot(order.version()) {
            self.show_newest(Arc::clone(order));
        }
    }

    /// Replaces all waiting updates and states of the order with `order`.
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

    /// Takes out the next item to be written.
    pub fn take(&mut self) -> Result<Option<Next>, BrokenSequence> {
        while let Some(item) = self.items.pop_front() {
            if self.items.is_empty() {
                self.items.shrink_to(CAPACITY_KEPT);
            }
            if let Item::Update { frame, .. } = &item {
                self.updates -= 1;
                self.update_bytes -= frame.len();
            }
            let id = item.order();
            // Ending a subscription removes its items, so an item without a subscription belongs to nobody.
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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use trackops_domain::event::Change;

    use super::*;
    use crate::codec::{live as codec, samples};

    #[test]
    fn an_older_position_is_not_shown_after_a_newer_one() {
        let (order, _) = samples::order(&[
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier: None },
        ]);
        let (id, order) = (order.id, Arc::new(order));
        let (limits, mut backlog) = (QueueLimits::default(), Backlog::default());
        let at = |minute: i64| Position {
            lat: 52.5,
            lon: 13.4,
            at: samples::minutes(minute),
        };
        let located = |position: Position| LiveItem::Location {
            order: id,
            position,
            frame: codec::location(id, position),
        };
        backlog.follow(id, None);
        for minute in [5, 4, 6, 3] {
            backlog.push(located(at(minute)), &limits);
        }
        let mut taken = || backlog.take().expect("in sequence").expect("something");
        let Next::Ready(frame) = taken() else {
            panic!("no frame");
        };
        assert_eq!(frame.json, codec::location(id, at(6)));
        // A snapshot that was built before that, for example by another replica.
        let (order, position) = (Arc::clone(&order), Some(at(2)));
        backlog.push(LiveItem::Snapshot { order, position }, &limits);
        let mut taken = || backlog.take().expect("in sequence").expect("something");
        let Next::Snapshot(_, shown) = taken() else {
            panic!("no snapshot");
        };
        assert_eq!(shown, Some(at(6)));
    }

    /// The hub never causes this, so the test puts the wrong update in by hand.
    #[test]
    fn a_wrong_sequence_is_counted_and_not_written() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let order = OrderId(uuid::Uuid::from_u128(1));
        let mut backlog = Backlog::default();
        backlog.follow(order, Some(Version(3)));
        backlog.items.push_back(Item::Update {
            order,
            version: Version(5),
            frame: Bytes::from_static(b"{}"),
            committed: None,
        });
        backlog.recount();
        let followed = backlog.followed.get_mut(&order).expect("is followed");
        followed.updates = 1;
        let taken = metrics::with_local_recorder(&recorder, || backlog.take().map(|_| ()));
        assert_eq!(taken, Err(BrokenSequence { order }));
        let counted = r#"trackops_invariant_violations_total{invariant="I7"} 1"#;
        assert!(handle.render().contains(counted), "{}", handle.render());
    }
}
