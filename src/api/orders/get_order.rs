//! `GET /api/v1/orders/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::answer;
use crate::api::etag;
use crate::api::openapi::ReadErrors;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use crate::codec::view::{self, OrderView};

/// Show an order.
///
/// While a live position of the courier is shown the answer is never 304: the position changes
/// without a new version.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders",
    params(("id" = uuid::Uuid, Path, description = "The order"),
        ("If-None-Match" = Option<String>, Header, description = "ETags that the client has")),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(
            ("ETag" = String, description = "The version in quotes"),
            ("Age" = Option<u64>, description =
                "Seconds that the answer may be old: only while the database is away"))),
        (status = 304, description = "The client has this version"),
        ReadErrors)
)]
pub async fn get_order(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let read = state.orders.read(id).await?;
    let is_known = read.position.is_none() && etag::if_none_match(&headers, read.version)?;
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
