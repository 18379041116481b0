//! What may be asked of an order.

use crate::ids::{CommandId, CourierId};
use crate::status::Status;
use crate::time::Timestamp;
use std::sync::Arc;

/// A request to an existing order. (Placing has no order yet: [`crate::decide::place`].)
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A client's or a fulfilment system's step. A step to CANCELLED is a cancellation.
    Advance {
        /// The status to go to.
        to: Status,
        /// Who takes it to the customer. Only work that begins and a courier that leaves have one.
        courier: Option<CourierId>,
    },
    /// Call it off.
    Cancel {
        /// Shown to everyone who watches.
        reason: Box<str>,
    },
    /// Inventory has reserved everything.
    StockReserved,
    /// Inventory can't reserve everything.
    StockRefused {
        /// Names the items that were missing.
        reason: Box<str>,
    },
    /// Inventory has put the reservation back. Bookkeeping only.
    StockReleased,
    /// The deadline that the scanner saw has passed.
    DeadlineDue {
        /// As seen; ignored if the order's deadline has moved since.
        deadline: Timestamp,
        /// What is known to delay inventory's answer.
        held_up: HeldUp,
    },
}

/// What is known to delay inventory's answer when a deadline has passed. If something delays it, the
/// deadline is moved on: asking again would only make the backlog longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// Nothing: request and answer had enough time.
    Not,
    /// The request still waits in the outbox.
    Unsent,
    /// Request or answer is in flight: a consumer or relay on the way is known to lag behind.
    Behind,
}

/// The reason of a cancellation that came without one.
pub const REASON_UNLESS_GIVEN: &str = "cancelled";

impl Command {
    /// The step to `to`, which names no courier.
    pub const fn advance(to: Status) -> Self {
        Self::Advance { to, courier: None }
    }

    /// The courier that the step names. A step that can have none names none.
    pub fn courier(&self) -> Option<&CourierId> {
        match self {
            Self::Advance { to, courier } if to.may_name_courier() => courier.as_ref(),
            _ => None,
        }
    }

    /// The status that a client asks for, with the reason. `None` for commands that no client sends. Two
    /// requests with the same status, reason and courier ([`Self::courier`]) are the same, whichever route they
    /// come by.
    pub fn asks_for(&self) -> Option<(Status, Option<&str>)> {
        match self {
            Self::Advance {
                to: Status::Cancelled,
                ..
            } => Some((Status::Cancelled, Some(REASON_UNLESS_GIVEN))),
            Self::Advance { to, .. } => Some((*to, None)),
            Self::Cancel { reason } => Some((Status::Cancelled, Some(reason))),
            Self::StockReserved
            | Self::StockRefused { .. }
            | Self::StockReleased
            | Self::DeadlineDue { .. } => None,
        }
    }

    /// A stable name for metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Advance { .. } => "advance",
            Self::Cancel { .. } => "cancel",
            Self::StockReserved => "stock_reserved",
            Self::StockRefused { .. } => "stock_refused",
            Self::StockReleased => "stock_released",
            Self::DeadlineDue { .. } => "deadline_due",
        }
    }
}

/// Where a command comes from, and when it is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The command's id.
    pub command: CommandId,
    /// On whose behalf, as in [`crate::event::OrderEvent::by`].
    pub by: Arc<str>,
    /// Now, by the clock of the replica that decides.
    pub now: Timestamp,
}
