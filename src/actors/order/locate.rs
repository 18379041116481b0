//! The courier's positions of an order. They are live data, kept in memory and in the cache, and never
//! journalled. The keys that they came with are kept in memory only: an actor that ends (idle, failed, moved)
//! forgets them, and a repeat after that counts as a new position.

use std::sync::Arc;

use trackops_domain::order::REMEMBERED_MAX;
use trackops_domain::status::Status;

use super::access;
use super::state::State;
use crate::model::order_request::LocateRequest;
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;

/// Takes in a position. Returns `true` if it was taken in under this key before. Neither a late repeat nor an
/// older measurement that comes late moves the courier back. An older measurement is a success that changes
/// nothing.
pub(super) async fn locate(state: &mut State, request: LocateRequest) -> Result<bool, OrdersError> {
    let LocateRequest {
        position,
        key,
        caller,
        ..
    } = request;
    state.load().await?;
    let order = state.order.as_ref().ok_or(OrdersError::NotFound)?;
    state.under_lease()?;
    access::visible(order, &caller)?;
    let known = key.and_then(|key| state.located.iter().find(|known| known.id == key.id));
    if let Some(known) = known {
        return if key == Some(*known) {
            Ok(true)
        } else {
            Err(OrdersError::KeyReused)
        };
    }
    if order.status() != Status::InTransit {
        return Err(OrdersError::NotInTransit {
            status: order.status(),
        });
    }
    if is_newest(state, position) {
        state.entry.position.store(Some(Arc::new(position)));
        state.context.positions.put(state.id, position);
        state.context.hub.locate(state.id, position);
    }
    if let Some(key) = key {
        // Couriers report every few seconds and repeat only their last report.
        if state.located.len() >= REMEMBERED_MAX {
            state.located.remove(0);
        }
        state.located.push(key);
    }
    Ok(false)
}

fn is_newest(state: &State, position: Position) -> bool {
    let known = state.entry.position.load().as_deref().copied();
    // A replica of an older version forwards positions without checking them.
    position.is_credible(state.context.clock.now()) && position.replaces(known)
}
