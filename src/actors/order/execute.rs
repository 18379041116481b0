//! Commands to an order that exists: repeats, conditions, the domain's decision, and the append. Placing is
//! in `place.rs`; `settle.rs` deals with an append that failed.

use std::sync::Arc;

use trackops_domain::command::Origin;
use trackops_domain::decide::{self, Decision};
use trackops_domain::event::OrderEvent;
use trackops_domain::evolve::evolve;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::saga::deadline_after;

use super::state::{Answer, State};
use super::{access, rows, settle};
use crate::actors::errors;
use crate::codec::view;
use crate::model::order_answer::Done;
use crate::model::order_request::CommandRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::journal::AppendRow;

/// Runs the command, unless it has run before.
pub(super) async fn execute(
    state: &mut State,
    request: CommandRequest,
) -> Result<Answer, OrdersError> {
    state.load().await?;
    let order = state.order.clone().ok_or(OrdersError::NotFound)?;
    access::visible(&order, &request.caller)?;
    if let Some(version) = order.answered(request.id) {
        state.under_lease()?;
        settle::same_as_known(&order, &request)?;
        return Ok((repeated(&order, version), None));
    }
    if let Some(wanted) = &request.if_match
        && !wanted.contains(&order.version())
    {
        state.under_lease()?;
        return Err(OrdersError::PreconditionFailed {
            current: order.version(),
        });
    }
    if let Err(forbidden) = access::may_ever(&order, &request) {
        state.under_lease()?;
        return Err(forbidden);
    }
    let context = Arc::clone(&state.context);
    let origin = Origin {
        command: request.id,
        by: Arc::clone(request.caller.by()),
        now: context.clock.now(),
    };
    let decision = decide::decide(&order, &request.command, origin, &context.settings.policy);
    match decision {
        Err(rejection) => {
            state.under_lease()?;
            Err(rejection.into())
        }
        Ok(Decision::Unchanged) if request.keyed => remember(state, &order, &request).await,
        Ok(Decision::Unchanged) => {
            state.under_lease()?;
            Ok((state.done(order, None), None))
        }
        Ok(Decision::Bookkeep { saga, resend }) => {
            let after = Arc::new(Order {
                saga,
                ..(*order).clone()
            });
            let traceparent = request.traceparent.as_ref();
            let row = rows::bookkeeping_row(state.shard, &after, resend, traceparent);
            bookkeep(state, row, after).await
        }
        Ok(Decision::Event(event)) => {
            if let Err(forbidden) = access::may_step(&order, &request) {
                state.under_lease()?;
                return Err(forbidden);
            }
            change(state, &order, &event, &request).await
        }
    }
}

/// The answer that the command got the first time: the order as of `version`.
fn repeated(order: &Order, version: Version) -> Done {
    Done {
        order: Arc::new(order.as_of(version)),
        view: None,
        replayed: true,
        position: None,
    }
}

/// Commits `event`, the next event of `order`.
async fn change(
    state: &mut State,
    order: &Order,
    event: &OrderEvent,
    request: &CommandRequest,
) -> Result<Answer, OrdersError> {
    let mut after = evolve(order.clone(), event);
    after.saga.deadline = deadline_after(event, &state.context.settings.policy);
    let after = Arc::new(after);
    let row = rows::event_row(
        state.shard,
        &after,
        event,
        order.version(),
        request.traceparent.as_ref(),
    );
    let view = view::render(&after);
    match state.append(row, &after, &view).await {
        Ok(at) => Ok(state.committed(after, view, Some(order.status()), at)),
        Err(error) => settle::after_failure(state, error, request)
            .await
            .map(|done| (done, None)),
    }
}

/// Stores the id of a keyed command that changed nothing, so that a retry gets the same success after the
/// order has moved on.
async fn remember(
    state: &mut State,
    order: &Order,
    request: &CommandRequest,
) -> Result<Answer, OrdersError> {
    let mut after = order.clone();
    after.remember(request.id, &request.command);
    let after = Arc::new(after);
    let row = rows::bookkeeping_row(state.shard, &after, &[], None);
    bookkeep(state, row, after).await
}

/// Stores what must be remembered without an event: the saga's bookkeeping, or a command that changed
/// nothing.
async fn bookkeep(
    state: &mut State,
    row: AppendRow,
    after: Arc<Order>,
) -> Result<Answer, OrdersError> {
    let view = view::render(&after);
    match state.append(row, &after, &view).await {
        Ok(_) => {
            state.adopt(after.clone());
            Ok((state.done(after, Some(view)), None))
        }
        Err(error) => {
            state.unload();
            Err(errors::failed(error))
        }
    }
}
