//! Placing: the first command of an order, which creates it. A repeat gets the same answer, and so does the
//! loser of a race.

use std::sync::Arc;

use trackops_domain::command::Origin;
use trackops_domain::decide;
use trackops_domain::ids::{CommandId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::Saga;

use super::state::{Answer, State};
use super::{access, rows, settle};
use crate::actors::errors;
use crate::actors::writer::WriteError;
use crate::codec::view;
use crate::model::order_answer::Done;
use crate::model::order_request::PlaceRequest;
use crate::model::orders_error::OrdersError;

/// Places the order, unless it has been placed before.
pub(super) async fn place(state: &mut State, request: PlaceRequest) -> Result<Answer, OrdersError> {
    state.load().await?;
    if let Some(order) = &state.order {
        return placed_before(state, order, &request).map(|done| (done, None));
    }
    let context = Arc::clone(&state.context);
    let now = context.clock.now();
    let command = CommandId(state.id.0);
    let origin = Origin {
        command,
        by: Arc::clone(request.caller.by()),
        now,
    };
    let body_hash = request.key.map(|key| key.body);
    let event = decide::place(state.id, Arc::clone(&request.content), body_hash, origin);
    let saga = Saga::started(now, &context.settings.policy);
    // A new event of a placement always makes an order: there is no other outcome.
    let Some(order) = Order::from_placed(&event, saga) else {
        return Err(OrdersError::NotFound);
    };
    let order = Arc::new(order);
    // The message, the cache entry and the answer share this one JSON.
    let view = view::render(&order);
    let row = rows::placed_row(
        state.shard,
        &order,
        &event,
        &view,
        request.traceparent.as_ref(),
    );
    match state.append(row, &order, &view).await {
        Ok(at) => Ok(state.committed(order, view, None, at)),
        Err(WriteError::Conflict) => {
            // The order was placed under this id before, here or elsewhere: the loser of a race gets the same
            // answer.
            state.unload();
            state.load().await?;
            let order = state.order.as_ref().ok_or(OrdersError::Restarted)?;
            placed_before(state, order, &request).map(|done| (done, None))
        }
        Err(WriteError::Unknown) => {
            settle::settle(state).await?;
            match &state.order {
                Some(order) => placed_before(state, order, &request).map(|done| {
                    (
                        Done {
                            replayed: false,
                            ..done
                        },
                        None,
                    )
                }),
                None => Err(errors::unavailable("the order was not stored")),
            }
        }
        Err(error) => Err(errors::failed(error)),
    }
}

fn placed_before(
    state: &State,
    order: &Arc<Order>,
    request: &PlaceRequest,
) -> Result<Done, OrdersError> {
    state.under_lease()?;
    access::visible(order, &request.caller)?;
    let same = match (request.key, order.body_hash) {
        (Some(key), Some(stored)) => key.body == stored,
        // A drawn id is never drawn twice, so this is the same request after its outcome was settled.
        (None, None) => true,
        _ => false,
    };
    if !same {
        return Err(OrdersError::KeyReused);
    }
    Ok(Done {
        order: Arc::new(order.as_of(Version::FIRST)),
        view: None,
        replayed: true,
        position: None,
    })
}
