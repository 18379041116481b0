//! `GET /api/v1/orders/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::answer;
use crate::api::caller::By;
use crate::api::error_answers::ReadErrors;
use crate::api::etag;
use crate::api::params::OrderPath;
use crate::api::problem::{Problem, ProblemBody};
use crate::api::state::ApiState;
use crate::codec::view::{self, OrderView};
use crate::model::orders_error::OrdersError;
use crate::ports::orders::OrdersExt as _;

/// Show an order.
///
/// While a live position of the courier is shown the answer is never 304: the position changes
/// without a new version.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders",
    params(("id" = uuid::Uuid, Path, description = "The order"),
        ("If-Match" = Option<String>, Header, description = "ETags of which the order must have one"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that the client has")),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(
            ("ETag" = String, description = "The version in quotes"),
            ("Age" = Option<u64>, description =
                "Seconds that the answer may be old: only while the database is away"))),
        (status = 304, description = "The client has this version"),
        (status = 412, description = "`If-Match` names another version",
            content_type = "application/problem+json", body = ProblemBody),
        ReadErrors)
)]
pub async fn get_order(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let read = state.orders.read(id, &caller).await?;
    // In this order: RFC 9110, 13.2.2.
    if etag::if_match(&headers)?.is_some_and(|named| !named.contains(&read.version)) {
        let current = read.version;
        return Err(OrdersError::PreconditionFailed { current }.into());
    }
    let is_known = etag::if_none_match(&headers, read.version)? && read.position.is_none();
    let response = if is_known {
        let mut unchanged = StatusCode::NOT_MODIFIED.into_response();
        unchanged
            .headers_mut()
            .insert(header::ETAG, etag::of(read.version));
        unchanged
    } else {
        let shown = view::with_position(&read.view, read.position);
        answer::shown(StatusCode::OK, read.version, shown)
    };
    Ok(answer::aged(response, read.age))
}
