//! The events of an order. Each is one committed change of status.

use std::sync::Arc;

use crate::ids::{CommandId, CourierId, OrderId, Version};
use crate::placed::Placed;
use crate::status::Status;
use crate::time::Timestamp;

/// One change of one order. Raises the version by exactly one.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderEvent {
    /// The order.
    pub order: OrderId,
    /// The order's version after this event.
    pub version: Version,
    /// When it was decided, never before the previous event.
    pub at: Timestamp,
    /// On whose behalf: `client`, `inventory`, `deadline`, or the name that a fulfilment system gave.
    pub by: Arc<str>,
    /// The command that caused it. A repeat of that id is answered from this event.
    pub command: CommandId,
    /// What changed.
    pub change: Change,
}

/// The kinds of change, each with its own data.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The order came to be.
    Placed {
        /// Its content.
        content: Arc<Placed>,
        /// SHA-256 of the canonical request body when it came with an idempotency key.
        body_hash: Option<[u8; 32]>,
    },
    /// Inventory reserved everything.
    Confirmed,
    /// Inventory could not reserve.
    Rejected {
        /// Names the items that were missing.
        reason: Box<str>,
    },
    /// Work on it began.
    Preparing {
        /// Who will take it, if that was said.
        courier: Option<CourierId>,
    },
    /// A courier took it.
    InTransit {
        /// Who, if that was said.
        courier: Option<CourierId>,
    },
    /// It arrived.
    Delivered,
    /// It was called off.
    Cancelled {
        /// In the words of the caller who cancelled the order.
        reason: Box<str>,
    },
}

impl Change {
    /// The status that an order has after this change.
    pub const fn status(&self) -> Status {
        match self {
            Self::Placed { .. } => Status::Pending,
            Self::Confirmed => Status::Confirmed,
            Self::Rejected { .. } => Status::Rejected,
            Self::Preparing { .. } => Status::Preparing,
            Self::InTransit { .. } => Status::InTransit,
            Self::Delivered => Status::Delivered,
            Self::Cancelled { .. } => Status::Cancelled,
        }
    }

    /// Why, for the changes that have a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Rejected { reason } | Self::Cancelled { reason } => Some(reason),
            _ => None,
        }
    }

    /// The courier that the change names.
    pub const fn courier(&self) -> Option<&CourierId> {
        match self {
            Self::Preparing { courier } | Self::InTransit { courier } => courier.as_ref(),
            _ => None,
        }
    }
}
