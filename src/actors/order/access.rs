//! What a caller may see and do of this order. The domain has the rules; this file has the answers.

use trackops_domain::access::{Caller, Facts};
use trackops_domain::command::Command;
use trackops_domain::order::Order;

use crate::model::order_request::CommandRequest;
use crate::model::orders_error::OrdersError;

/// Whose the order is.
fn facts(order: &Order) -> Facts<'_> {
    Facts {
        customer: order.placed.customer,
        shop: order.placed.shop.as_ref(),
        courier: order.courier(),
    }
}

/// An error if there is no such order for `caller`.
pub fn visible(order: &Order, caller: &Caller) -> Result<(), OrdersError> {
    if caller.sees(facts(order)) {
        Ok(())
    } else {
        Err(OrdersError::Hidden)
    }
}

/// An error if the caller may not take the step, which the order's status allows.
pub(super) fn may_step(order: &Order, request: &CommandRequest) -> Result<(), OrdersError> {
    let Some((wanted, _)) = request.command.asks_for() else {
        return Ok(());
    };
    let current = order.status();
    let may_name = match &request.command {
        Command::Advance {
            courier: Some(named),
            ..
        } => request.caller.may_name(named),
        _ => true,
    };
    if may_name && request.caller.may_step(current, wanted) {
        Ok(())
    } else {
        Err(OrdersError::Forbidden { current, wanted })
    }
}

/// An error if the caller may not take such a step from any status: told before whether `order`'s allows it.
pub(super) fn may_ever(order: &Order, request: &CommandRequest) -> Result<(), OrdersError> {
    match request.command.asks_for() {
        Some((wanted, _)) if !request.caller.ever_steps_to(wanted) => Err(OrdersError::Forbidden {
            current: order.status(),
            wanted,
        }),
        _ => Ok(()),
    }
}
