//! What may be asked of an order.

use crate::ids::CommandId;
use crate::status::Status;
use crate::time::Timestamp;
use std::sync::Arc;

/// A request to an existing order. (Placing has no order yet: [`crate::decide::place`].)
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A client's or a fulfilment system's step. A step to CANCELLED is a cancellation.
    Advance(Status),
    /// Call it off.
    Cancel {
        /// Shown to everyone who watches.
        reason: Box<str>,
    },
    /// Inventory has reserved everything.
    StockReserved,
    /// Inventory can't.
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
        /// What is known to be in the way of the answer.
        held_up: HeldUp,
    },
}

/// What is known to be in the way of inventory's answer when a deadline has passed. Where something is,
/// the deadline is moved on: asking again would only make the backlog longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldUp {
    /// Nothing: request and answer had every chance.
    Not,
    /// The request still waits in the outbox.
    Unsent,
    /// Request or answer is on its way: somebody on it is known to be behind.
    Behind,
}

/// Why an order was cancelled, where nobody said.
pub const REASON_UNLESS_GIVEN: &str = "cancelled";

impl Command {
    /// What a client asks for: the status, and why. `None` for what is nobody's request. Two
    /// requests that agree in this are the same, by whichever route they come.
    pub fn asks_for(&self) -> Option<(Status, Option<&str>)> {
        match self {
            Self::Advance(Status::Cancelled) => {
                Some((Status::Cancelled, Some(REASON_UNLESS_GIVEN)))
            }
            Self::Advance(wanted) => Some((*wanted, None)),
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
            Self::Advance(_) => "advance",
            Self::Cancel { .. } => "cancel",
            Self::StockReserved => "stock_reserved",
            Self::StockRefused { .. } => "stock_refused",
            Self::StockReleased => "stock_released",
            Self::DeadlineDue { .. } => "deadline_due",
        }
    }
}

/// The particulars of a command's arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The command's id.
    pub command: CommandId,
    /// On whose behalf, as in [`crate::event::OrderEvent::by`].
    pub by: Arc<str>,
    /// Now, by the clock of whoever decides.
    pub now: Timestamp,
}
