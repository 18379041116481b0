//! What the order endpoints share: the answer that shows an order, and sending a command.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::status::Status;

use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::request_headers::{IDEMPOTENCY_REPLAYED, idempotency_key, traceparent};
use crate::api::state::ApiState;
use crate::api::{etag, problem_of};
use crate::codec::view;
use crate::ports::orders::{CommandRequest, Done, command_id};

/// On whose behalf REST changes orders.
static CLIENT: LazyLock<Arc<str>> = LazyLock::new(|| "client".into());

/// A JSON answer.
pub fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// A JSON answer of a value.
pub fn json_of(status: StatusCode, value: &impl serde::Serialize) -> Result<Response, Problem> {
    serde_json::to_vec(value)
        .map(|bytes| json(status, bytes.into()))
        .map_err(|error| problem_of::internal(&error))
}

/// An answer that shows an order at `version`.
pub fn shown(status: StatusCode, version: Version, view: Bytes) -> Response {
    let mut response = json(status, view);
    response
        .headers_mut()
        .insert(header::ETAG, etag::of(version));
    response
}

/// The answer to a command or a placement that succeeded.
pub fn done(status: StatusCode, done: &Done) -> Response {
    let rendered = view::with_position(&view::render(&done.order), done.position);
    let mut response = shown(status, done.order.version(), rendered);
    if done.replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Sends a client's command with what its headers say.
pub async fn command(
    state: &ApiState,
    order: OrderId,
    headers: &HeaderMap,
    command: Command,
) -> Result<Response, Problem> {
    let key = idempotency_key(headers)?;
    let id = match key {
        Some(key) => command_id(order, key),
        None => CommandId(state.clock.uuid_v7()),
    };
    let request = CommandRequest {
        order,
        id,
        keyed: key.is_some(),
        by: Arc::clone(&CLIENT),
        if_match: etag::if_match(headers)?,
        command: command.clone(),
        traceparent: traceparent(headers),
    };
    let answer = state.orders.execute(request).await?;
    if answer.replayed && !is_answer_to(&answer.order, id, &command) {
        return Err(Problem::new(
            Code::IdempotencyKeyReused,
            "the idempotency key was used with another body",
        ));
    }
    Ok(done(StatusCode::OK, &answer))
}

/// Whether the first command of this id can have been `command`: orders remember which change a
/// key led to, not its body, and the change tells them apart.
fn is_answer_to(order: &Order, id: CommandId, command: &Command) -> bool {
    match command {
        Command::Advance(wanted) => order.status() == *wanted,
        Command::Cancel { reason } => {
            let caused_it = order
                .entry(order.version())
                .filter(|entry| entry.command == id);
            order.status() == Status::Cancelled
                && caused_it.is_none_or(|entry| entry.reason.as_ref() == Some(reason))
        }
        _ => true,
    }
}
