//! The saga with inventory, which is kept inside the order: its state, its timings, and the messages that
//! an event calls for. Leaves its steps to [`crate::decide`].

use std::time::Duration;

use crate::event::OrderEvent;
use crate::status::Status;
use crate::time::Timestamp;

/// The state of the order's stock, as far as the order knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stock {
    /// Asked for, and not answered yet.
    Requested,
    /// Held for this order.
    Reserved,
    /// Refused; nothing is held.
    Refused,
    /// To be put back, and not confirmed yet.
    Releasing,
    /// Put back.
    Released,
    /// Left the house with the order.
    Shipped,
}

impl Stock {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Requested,
        Self::Reserved,
        Self::Refused,
        Self::Releasing,
        Self::Released,
        Self::Shipped,
    ];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Reserved => "reserved",
            Self::Refused => "refused",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Shipped => "shipped",
        }
    }

    /// The state of that stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stock| stock.as_str() == name)
    }
}

/// The bookkeeping of the saga. It changes by events, and by fenced appends without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saga {
    /// The stock's state.
    pub stock: Stock,
    /// When to look at the saga again, if it awaits an answer.
    pub deadline: Option<Timestamp>,
    /// How often the awaited answer was asked for again: the reservation, or after a cancellation the
    /// release.
    pub asked_again: u32,
}

/// The timings of the saga, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long to wait for inventory's answer before asking again, and then again before cancelling.
    pub reservation_timeout: Duration,
    /// How often to ask again before the order is cancelled.
    pub ask_again_max: u32,
    /// How long an order waits for stock at the very most, even if inventory is known to be behind.
    pub reservation_wait_max: Duration,
    /// How long to wait for the confirmation of a release before asking again. It doubles each time.
    pub release_timeout: Duration,
}

/// The longest pause between two requests for a release. By then an operator has to look at an order
/// whose stock stays held, and the order goes on by itself within an hour of the repair.
const RELEASE_PAUSE_MAX: Duration = Duration::from_hours(1);

impl Policy {
    /// How long to wait for a release that was asked for again `times` times.
    pub fn release_pause(&self, times: u32) -> Duration {
        let doubled = self.release_timeout.saturating_mul(1 << times.min(16));
        doubled.min(RELEASE_PAUSE_MAX.max(self.release_timeout))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reservation_timeout: Duration::from_secs(60),
            ask_again_max: 1,
            reservation_wait_max: Duration::from_mins(30),
            release_timeout: Duration::from_secs(60),
        }
    }
}

/// A message that an event calls for. It has the event's order and version. Its position in the list is
/// its ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// `ORDER_CREATED`: asks inventory to reserve.
    AnnounceCreated,
    /// `ORDER_STATUS_UPDATED`.
    AnnounceStatus,
    /// `ORDER_CANCELLED`: asks inventory to release.
    AnnounceCancelled,
    /// `ORDER_DELIVERED`: tells inventory that the goods are gone.
    AnnounceDelivered,
}

/// The messages that `event` calls for, in the order in which they are published.
pub fn intents(event: &OrderEvent) -> &'static [Intent] {
    intents_of(event.change.status())
}

/// The messages of the event that led to `status`.
pub const fn intents_of(status: Status) -> &'static [Intent] {
    match status {
        Status::Pending => &[Intent::AnnounceCreated],
        Status::Cancelled => &[Intent::AnnounceStatus, Intent::AnnounceCancelled],
        Status::Delivered => &[Intent::AnnounceStatus, Intent::AnnounceDelivered],
        Status::Confirmed | Status::Rejected | Status::Preparing | Status::InTransit => {
            &[Intent::AnnounceStatus]
        }
    }
}

/// When to look at the saga again after `event`, if it awaits an answer of inventory.
pub fn deadline_after(event: &OrderEvent, policy: &Policy) -> Option<Timestamp> {
    match event.change.status() {
        Status::Pending => Some(event.at.plus(policy.reservation_timeout)),
        Status::Cancelled => Some(event.at.plus(policy.release_timeout)),
        _ => None,
    }
}

impl Saga {
    /// The state in which a placed order starts.
    pub fn started(at: Timestamp, policy: &Policy) -> Self {
        Self {
            stock: Stock::Requested,
            deadline: Some(at.plus(policy.reservation_timeout)),
            asked_again: 0,
        }
    }
}
