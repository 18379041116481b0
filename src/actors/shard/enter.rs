//! Decides whether a shard lets a request in: commands while it takes new work, reads for a little longer.
//! The caller waits for a shard that is held.

use super::local_shard::Shard;
use crate::actors::errors;
use crate::actors::in_flight::InFlightGuard;
use crate::actors::tenure::{LocalShardState, Tenure};
use crate::model::orders_error::OrdersError;

/// A request that found its shard open.
pub struct Entered {
    /// Keeps the shard from being handed over until the request is done.
    pub in_hand: InFlightGuard,
    /// The tenure in which the shard was open.
    pub tenure: Tenure,
}

/// Why a shard takes no new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The shard isn't this replica's.
    NotOwned,
    /// The shard is moving to another replica, which is decided in a moment.
    Held,
    /// An append of unknown outcome is being settled.
    Settling,
}

impl Closed {
    /// The error for a caller that doesn't wait.
    pub fn into_error(self) -> OrdersError {
        match self {
            Self::NotOwned => OrdersError::NotOwner,
            Self::Held => errors::unavailable("the order's shard is moving to another replica"),
            Self::Settling => {
                errors::unavailable("a lost write of the order's shard is being settled")
            }
        }
    }
}

impl Shard {
    /// Lets a request in, if the shard takes new work now.
    pub fn enter(&self) -> Result<Entered, Closed> {
        let in_hand = self.hands.take();
        let (state, tenure) = self.context.ownership.state(self.id);
        match state {
            LocalShardState::Owned(_) => Ok(Entered { in_hand, tenure }),
            LocalShardState::Held(_) | LocalShardState::Drained(_) => Err(Closed::Held),
            LocalShardState::Settling(_) => Err(Closed::Settling),
            LocalShardState::Free(_) => Err(Closed::NotOwned),
        }
    }

    /// Whether the shard takes new work now.
    pub fn is_open(&self) -> bool {
        matches!(
            self.context.ownership.state(self.id).0,
            LocalShardState::Owned(_)
        )
    }

    /// Lets a read in: a committed state may be shown also while a lost append is being settled.
    pub fn enter_to_read(&self) -> Result<Entered, Closed> {
        let in_hand = self.hands.take();
        let (state, tenure) = self.context.ownership.state(self.id);
        match state {
            LocalShardState::Owned(_) | LocalShardState::Settling(_) => {
                Ok(Entered { in_hand, tenure })
            }
            LocalShardState::Held(_) | LocalShardState::Drained(_) => Err(Closed::Held),
            LocalShardState::Free(_) => Err(Closed::NotOwned),
        }
    }
}
