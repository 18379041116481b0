//! What a caller may see and do of this order. The domain has the rules; this file has the answers.

use trackops_domain::access::{Caller, Facts};
use trackops_domain::command::Command;
use trackops_domain::decide::Rejection;
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

/// Whether the caller may take such a step from any status.
pub(super) fn may_ever(request: &CommandRequest) -> bool {
    let wanted = request.command.asks_for();
    wanted.is_none_or(|(to, _)| request.caller.ever_steps_to(to))
}

/// The refusal of a step that the caller may never take, and that the order has taken already.
pub(super) fn never(order: &Order, request: &CommandRequest) -> OrdersError {
    let current = order.status();
    let wanted = request.command.asks_for().map_or(current, |(to, _)| to);
    OrdersError::Forbidden { current, wanted }
}

/// The refusal of a step that the order's status doesn't allow. A caller who may never take such a step is told
/// that instead.
pub(super) fn refused(request: &CommandRequest, rejection: Rejection) -> OrdersError {
    let Rejection { current, wanted } = rejection;
    if may_ever(request) {
        rejection.into()
    } else {
        OrdersError::Forbidden { current, wanted }
    }
}
