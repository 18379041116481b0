//! The queue between the hub and one socket or stream: a [`Backlog`] that the hub pushes into and the socket
//! takes from. It ends its subscriptions when it is dropped. Pushing never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;

use super::backlog::{Backlog, BrokenSequence, Frame, FrameKind, Next, QueueLimits};
use crate::codec::{live, tracking};
use crate::ports::live::{LiveHub, LiveItem, LiveListener};
use crate::telemetry::names;

/// A queue of frames for one socket or stream.
pub struct Queue {
    id: u64,
    limits: QueueLimits,
    hub: Arc<dyn LiveHub>,
    shows: Shows,
    backlog: Mutex<Backlog>,
    wake: Notify,
    /// When the order reached its final status, if it is followed by its tracking link.
    final_at: OnceLock<Timestamp>,
}

/// What frames show of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Everything.
    Order,
    /// What whoever has its tracking link may see.
    Tracking,
}

/// The client follows as many orders as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a connection may follow {limit} orders")]
pub struct TooManyOrders {
    /// How many orders it may follow.
    pub limit: usize,
}

/// An id that no other listener of this process has.
pub(super) fn session_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(1);
    IDS.fetch_add(1, Ordering::Relaxed)
}

impl Queue {
    /// A queue with these limits.
    pub fn with_limits(hub: Arc<dyn LiveHub>, limits: QueueLimits) -> Arc<Self> {
        Self::new(hub, limits, Shows::Order)
    }

    /// A queue of the frames that whoever has an order's tracking link may see.
    pub fn of_tracking(hub: Arc<dyn LiveHub>, limits: QueueLimits) -> Arc<Self> {
        Self::new(hub, limits, Shows::Tracking)
    }

    fn new(hub: Arc<dyn LiveHub>, limits: QueueLimits, shows: Shows) -> Arc<Self> {
        metrics::gauge!(names::LIVE_SESSIONS).increment(1);
        Arc::new(Self {
            id: session_id(),
            limits,
            hub,
            shows,
            backlog: Mutex::default(),
            wake: Notify::new(),
            final_at: OnceLock::new(),
        })
    }

    /// Expects `order` from `since` on. To be called before the subscription is requested. An earlier
    /// subscription to the order ends here, and its unwritten frames are dropped.
    pub fn follow(&self, order: OrderId, since: Option<Version>) -> Result<(), TooManyOrders> {
        let limit = self.limits.orders;
        // Only this connection's own task follows and unfollows, so these values don't change meanwhile.
        let (follows, count) = {
            let backlog = self.backlog.lock();
            (backlog.follows(order), backlog.followed_count())
        };
        if follows {
            // The hub first: after that it delivers nothing more of the earlier subscription. Without this
            // queue's lock, because the hub delivers while it holds its own.
            self.hub.detach(order, self.id);
        } else if count >= limit {
            return Err(TooManyOrders { limit });
        }
        self.backlog.lock().follow(order, since);
        Ok(())
    }

    /// Whether `order` is followed.
    pub fn follows(&self, order: OrderId) -> bool {
        self.backlog.lock().follows(order)
    }

    /// How many orders are followed.
    pub fn followed_count(&self) -> usize {
        self.backlog.lock().followed_count()
    }

    /// Ends the subscription to `order`: none of its frames is taken after this.
    pub fn unfollow(&self, order: OrderId) {
        self.hub.detach(order, self.id);
        self.backlog.lock().unfollow(order);
    }

    /// The next frame, if any waits.
    pub fn take(&self) -> Result<Option<Frame>, BrokenSequence> {
        let (order, position) = {
            match self.backlog.lock().take()? {
                None => return Ok(None),
                Some(Next::Ready(frame)) => return Ok(Some(frame)),
                Some(Next::Snapshot(order, position)) => (order, position),
            }
        };
        // Encoded without the lock: the actor may be pushing.
        Ok(Some(Frame {
            kind: FrameKind::Snapshot,
            version: Some(order.version()),
            json: match self.shows {
                Shows::Order => live::snapshot(&order, position),
                Shows::Tracking => tracking::snapshot(&order, position),
            },
            committed: None,
        }))
    }

    /// Returns when a frame can be taken. For one task.
    pub async fn ready(&self) {
        // A push leaves its signal behind, so one that comes after the check is not missed. A signal for a
        // frame that was taken meanwhile only costs a check.
        while self.backlog.lock().is_empty() {
            self.wake.notified().await;
        }
    }

    /// When an order that is followed by its tracking link reached its final status, if it has.
    pub fn final_at(&self) -> Option<Timestamp> {
        self.final_at.get().copied()
    }

    /// `item` with a frame that shows no more than a tracking link does.
    fn reduced(&self, item: LiveItem) -> LiveItem {
        match item {
            LiveItem::Update {
                order,
                version,
                frame: _,
                committed,
            } => {
                self.note_end(&order);
                match tracking::update(&order, version) {
                    Some(frame) => LiveItem::Update {
                        order,
                        version,
                        frame,
                        committed,
                    },
                    None => LiveItem::Snapshot {
                        order,
                        position: None,
                    },
                }
            }
            LiveItem::Snapshot { order, position } => {
                self.note_end(&order);
                LiveItem::Snapshot { order, position }
            }
            LiveItem::Location {
                order,
                position,
                frame: _,
            } => LiveItem::Location {
                order,
                position,
                frame: tracking::location(position),
            },
        }
    }

    fn note_end(&self, order: &Order) {
        if let Some(at) = order.final_at() {
            let _ = self.final_at.set(at);
        }
    }

    /// How much waits, for tests: items, and bytes of updates.
    pub fn backlog_size(&self) -> (usize, usize) {
        self.backlog.lock().size()
    }
}

impl LiveListener for Queue {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, item: LiveItem) {
        let item = match self.shows {
            Shows::Order => item,
            Shows::Tracking => self.reduced(item),
        };
        self.backlog.lock().push(item, &self.limits);
        self.wake.notify_one();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for order in self.backlog.get_mut().followed() {
            self.hub.detach(order, self.id);
        }
        metrics::gauge!(names::LIVE_SESSIONS).decrement(1);
    }
}
