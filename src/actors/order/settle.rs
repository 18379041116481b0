//! What an order's actor does after an append that failed or whose outcome is unknown: it asks the journal
//! what is stored. The ownership settles the shard itself.

use std::sync::Arc;

use trackops_domain::invariants::Invariant;
use trackops_domain::order::Order;

use super::state::{SETTLE_MAX, State};
use crate::actors::errors;
use crate::actors::writer::WriteError;
use crate::model::order_answer::Done;
use crate::model::order_request::CommandRequest;
use crate::model::orders_error::OrdersError;
use crate::telemetry;

/// Waits until the shard's lost append is settled, then loads the order again.
pub(super) async fn settle(state: &mut State) -> Result<(), OrdersError> {
    state.unload();
    let shard = state.shard;
    let context = Arc::clone(&state.context);
    if !context.ownership.settled(shard, SETTLE_MAX).await {
        return Err(errors::failed(WriteError::Unknown));
    }
    state.load().await.map_err(|error| match error {
        // The shard went to another replica meanwhile, and only that one knows the outcome of the append.
        OrdersError::NotOwner => errors::failed(WriteError::Unknown),
        other => other,
    })
}

/// An error if a client's key was used for something else before. The ids of bus messages are their senders',
/// and are trusted.
pub(super) fn same_as_known(order: &Order, request: &CommandRequest) -> Result<(), OrdersError> {
    if request.keyed && !order.asked_the_same(request.id, &request.command) {
        return Err(OrdersError::KeyReused);
    }
    Ok(())
}

/// The caller's answer to a command whose append failed with `error`.
pub(super) async fn after_failure(
    state: &mut State,
    error: WriteError,
    request: &CommandRequest,
) -> Result<Done, OrdersError> {
    match error {
        WriteError::Unavailable | WriteError::Refused => Err(errors::failed(error)),
        WriteError::NotOwner => {
            state.unload();
            Err(errors::failed(error))
        }
        WriteError::Conflict => {
            // Nobody else writes under our own epoch, so the order in memory was not the stored one.
            telemetry::violated(
                Invariant::OneWriter,
                &format!("order {}: unexpected version", request.order),
            );
            let known = state.order.as_ref().map(|order| order.version());
            state.unload();
            state.load().await?;
            if state.order.as_ref().map(|order| order.version()) < known {
                // The version in memory was acknowledged, so it was committed, and the journal has lost it.
                let detail = format!("order {}: a committed version is gone", request.order);
                telemetry::violated(Invariant::DurableFirst, &detail);
            }
            Err(errors::failed(error))
        }
        WriteError::Unknown => {
            settle(state).await?;
            let order = state.order.clone().ok_or(OrdersError::NotFound)?;
            match order.answered(request.id) {
                Some(version) => same_as_known(&order, request).map(|()| Done {
                    order: Arc::new(order.as_of(version)),
                    view: None,
                    replayed: false,
                    position: None,
                }),
                None => Err(errors::unavailable(
                    "the journal was lost; the command did not happen",
                )),
            }
        }
    }
}
