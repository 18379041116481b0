//! `GET /api/v1/orders/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::answer;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use crate::codec::view::{self, OrderView};
use crate::model::orders_error::OrdersError;
use crate::ports::orders::OrdersExt as _;

refusals!(Refusals = ORDER, CONDITIONS; PreconditionFailed);

/// Show an order.
///
/// While a live position of the courier is shown the answer is never 304: the position changes
/// without a new version.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(parameters::OrderId, parameters::IfMatch, parameters::IfNoneMatch),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag"),
            ("Age"))),
        (status = 304, description = "The client has this version", headers(("ETag"), ("Age"))),
        Refusals)
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
