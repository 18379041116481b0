//! Messages that replicas send without a request, about orders that one of them follows for its clients.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::envelope::{LinkFormError, close, open, read};
use super::order::{OrderV1, PositionV1};
use crate::model::position::Position;

/// A message in one direction; messages keep their order.
#[derive(Clone, Debug)]
pub enum Message {
    /// Owner to watcher: the order's current state, its courier's position, or both.
    State {
        /// Which.
        order: OrderId,
        /// The number of the subscription that it belongs to.
        number: u64,
        /// The whole order.
        state: Option<Arc<Order>>,
        /// Its courier.
        position: Option<Position>,
    },
    /// Owner to watcher: another replica owns the order now, so ask that one.
    Moved {
        /// Which.
        order: OrderId,
        /// The number of the subscription that has ended.
        number: u64,
    },
    /// Watcher to owner: nobody here follows the order any more.
    Unwatch {
        /// Which.
        order: OrderId,
        /// The highest number of a subscription that has ended.
        number: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct StateV1 {
    order: uuid::Uuid,
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<OrderV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<PositionV1>,
}

#[derive(Serialize, Deserialize)]
struct WatchedV1 {
    order: uuid::Uuid,
    number: u64,
}

impl Message {
    /// Its text.
    pub fn encode(&self) -> Bytes {
        let watched = |order: &OrderId, number: &u64| WatchedV1 {
            order: order.0,
            number: *number,
        };
        match self {
            Self::State {
                order,
                number,
                state,
                position,
            } => close(
                "state",
                StateV1 {
                    order: order.0,
                    number: *number,
                    state: state.as_deref().map(OrderV1::of),
                    position: position.map(PositionV1::of),
                },
            ),
            Self::Moved { order, number } => close("moved", watched(order, number)),
            Self::Unwatch { order, number } => close("unwatch", watched(order, number)),
        }
    }

    /// Reads a text.
    pub fn decode(text: &[u8]) -> Result<Self, LinkFormError> {
        let (kind, body) = open(text)?;
        let watched = |what| {
            let watched: WatchedV1 = read(what, body)?;
            Ok((OrderId(watched.order), watched.number))
        };
        Ok(match kind.as_str() {
            "state" => {
                let state: StateV1 = read("state", body)?;
                Self::State {
                    order: OrderId(state.order),
                    number: state.number,
                    state: state.state.map(OrderV1::read).transpose()?,
                    position: state.position.map(PositionV1::read),
                }
            }
            "moved" => {
                let (order, number) = watched("moved")?;
                Self::Moved { order, number }
            }
            "unwatch" => {
                let (order, number) = watched("unwatch")?;
                Self::Unwatch { order, number }
            }
            _ => return Err(LinkFormError::Kind(kind)),
        })
    }
}
