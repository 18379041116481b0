//! What a mirror knows of one order: its newest state, and whether and how news of it comes from the owner.
//! Leaves asking the owner to [`super::mirror`].

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use trackops_cluster::link::Peer;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use crate::faults;
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;
use crate::ports::live::LiveHub;

/// One order that clients of this replica watch.
pub(super) struct Mirrored {
    pub order: OrderId,
    pub state: Mutex<State>,
    /// For the mirror's task.
    pub wake: Notify,
    /// For listeners that wait for an answer.
    pub answered: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// How many times an answer has been requested so far.
    pub asked: u64,
    /// The newest state is at least as young as this request.
    pub confirmed: u64,
    /// The last request that failed, with its error.
    pub failed: Option<(u64, OrdersError)>,
    pub newest: Option<Arc<Order>>,
    pub position: Option<Position>,
    pub source: Option<Peer>,
    /// The number of the last watch.
    pub number: u64,
    /// The number of the last watch under which the owner has told anything. An owner tells the order's state
    /// at once. Until it has, it may not be able to reach this replica.
    heard: u64,
    delivery: Delivery,
    phase: Phase,
    /// Listeners that wait to be attached.
    pub waiting: usize,
}

/// How news comes from the owner.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Delivery {
    /// It is polled.
    #[default]
    Polled,
    /// It tells this replica.
    Pushed,
    /// It hasn't been heard in the time it was given, so it is polled until it is heard.
    Unheard,
}

/// Where the mirror is in its life.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Current,
    /// The owner may have changes that it doesn't tell this replica.
    Stale,
    /// The mirror has ended.
    Closed,
}

impl Mirrored {
    /// Nothing is known yet.
    pub fn new(order: OrderId) -> Self {
        Self {
            order,
            state: Mutex::default(),
            wake: Notify::new(),
            answered: Notify::new(),
        }
    }

    /// The owner is asked again if `is_over` holds.
    pub fn disturb(&self, is_over: impl FnOnce(&State) -> bool) {
        let mut state = self.state.lock();
        if is_over(&state) && !faults::hit(faults::points::DEAF_MIRROR, "") {
            state.disturb();
            self.wake.notify_one();
        }
    }
}

impl State {
    /// The owner is about to be asked to tell under `number`.
    pub fn watch_begins(&mut self, number: u64) {
        self.number = number;
        if self.phase == Phase::Stale {
            self.phase = Phase::Current;
        }
    }

    /// `source`, the owner, has answered. `is_pushed`: it is going to tell this replica.
    pub fn answered(&mut self, source: Peer, is_pushed: bool) {
        self.source = Some(source);
        self.delivery = match self.delivery {
            Delivery::Unheard => Delivery::Unheard,
            _ if is_pushed => Delivery::Pushed,
            _ => Delivery::Polled,
        };
    }

    /// The owner has told something under the last watch. If it wasn't heard before, the next answer says how
    /// it goes on.
    pub fn heard(&mut self) {
        self.heard = self.number;
        if self.delivery == Delivery::Unheard {
            self.delivery = Delivery::Polled;
        }
    }

    /// Whether the owner is to tell this replica, and hasn't yet.
    pub fn is_unheard(&self) -> bool {
        self.delivery == Delivery::Pushed && self.heard != self.number
    }

    /// The owner can't reach this replica, it seems.
    pub fn poll_until_heard(&mut self) {
        self.delivery = Delivery::Unheard;
    }

    pub fn is_polled(&self) -> bool {
        self.delivery != Delivery::Pushed
    }

    /// What is known may be out of date.
    pub fn disturb(&mut self) {
        if self.phase == Phase::Current {
            self.phase = Phase::Stale;
        }
    }

    pub fn is_stale(&self) -> bool {
        self.phase == Phase::Stale
    }

    pub fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Publishes the newer of `order` and the newest state.
    pub fn take_in(&mut self, order: Arc<Order>, hub: &dyn LiveHub) {
        let newest = self.newest.take();
        let newest = newest.filter(|newest| newest.version() >= order.version());
        let newest = newest.unwrap_or(order);
        hub.publish(&newest, None);
        self.newest = Some(newest);
    }

    /// Where the courier is, if `order` is on its way.
    pub fn position_of(&self, order: &Order) -> Option<Position> {
        self.position
            .filter(|_| order.status() == Status::InTransit)
    }
}

/// A listener that waits for the owner's answer.
pub(super) struct Waiting {
    pub mirrored: Arc<Mirrored>,
    pub asking: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.mirrored.state.lock().waiting -= 1;
    }
}
