//! Shared by the order endpoints: the answer that shows an order, and sending a command.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId, Version};

use crate::api::problem::Problem;
use crate::api::request_headers::{idempotency_key, mark_replayed, traceparent};
use crate::api::state::ApiState;
use crate::api::{etag, problem_of};
use crate::codec::view;
use crate::model::order_answer::Done;
use crate::model::order_request::{CommandRequest, command_id};
use crate::ports::orders::OrdersExt as _;

/// A JSON answer. It shows an address or a name, so nobody in between may keep it.
pub fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "private, no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
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

/// The answer to a command that succeeded.
pub fn done(done: &Done) -> Response {
    shown_done(StatusCode::OK, done, rendered(done))
}

/// The answer to a placement that succeeded, with the order's tracking link if it has one.
pub fn placed(done: &Done, tracking_url: Option<&str>) -> Response {
    let view = rendered(done);
    let view = match tracking_url {
        Some(url) => view::with_tracking_url(&view, url),
        None => view,
    };
    shown_done(StatusCode::CREATED, done, view)
}

fn rendered(done: &Done) -> Bytes {
    view::with_position(&view::of_done(done), done.position)
}

fn shown_done(status: StatusCode, done: &Done, view: Bytes) -> Response {
    let mut response = shown(status, done.order.version(), view);
    if done.replayed {
        mark_replayed(&mut response);
    }
    response
}

/// Adds how old the answer may be, if it comes from a cache.
pub fn aged(mut response: Response, age: Option<Duration>) -> Response {
    if let Some(age) = age {
        response
            .headers_mut()
            .insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    response
}

/// SHA-256 of a body as we understand it. The order of keys, white space and unknown fields make no
/// difference.
pub fn canonical_hash(body: &impl serde::Serialize) -> [u8; 32] {
    // Writing plain structs to memory has no way to fail.
    let canonical = serde_json::to_vec(body).unwrap_or_default();
    Sha256::digest(&canonical).into()
}

/// The headers of a command. They are read before the body: a client that waits for `100 Continue` isn't
/// asked for a body that the headers make useless.
pub struct CommandHeaders<'a> {
    key: Option<&'a str>,
    if_match: Option<Vec<Version>>,
    traceparent: Arc<str>,
}

impl<'a> CommandHeaders<'a> {
    /// Reads the headers of a request; 400 if one of them makes no sense here.
    pub fn of(parts: &'a Parts) -> Result<Self, Problem> {
        let headers = &parts.headers;
        etag::refuse(headers, &header::IF_NONE_MATCH)?;
        Ok(Self {
            key: idempotency_key(headers)?,
            if_match: etag::if_match(headers)?,
            traceparent: traceparent(&parts.extensions),
        })
    }
}

/// Sends a client's command with the values of its headers.
pub async fn command(
    state: &ApiState,
    caller: Caller,
    order: OrderId,
    headers: CommandHeaders<'_>,
    command: Command,
) -> Result<Response, Problem> {
    let id = match headers.key {
        Some(key) => command_id(&caller, order, key),
        None => CommandId(state.clock.uuid_v7()),
    };
    let request = CommandRequest {
        order,
        id,
        keyed: headers.key.is_some(),
        caller: caller.clone(),
        if_match: headers.if_match,
        command,
        traceparent: Some(headers.traceparent),
    };
    let answer = state.orders.execute(request).await;
    let answer = answer.map_err(|error| Problem::from(error).narrowed_to(&caller))?;
    Ok(done(&answer))
}
