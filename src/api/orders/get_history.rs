//! `GET /api/v1/orders/{id}/history`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use crate::codec::view::{self, HistoryEntry};
use crate::ports::orders::OrdersExt as _;

/// An order's history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderHistory)]
pub struct HistoryView {
    /// The order.
    pub order_id: uuid::Uuid,
    /// Every version, oldest first.
    pub items: Vec<HistoryEntry>,
}

refusals!(Refusals = ORDER, UNCONDITIONAL);

/// Every version of an order: what, when, by whom.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/history", tag = "orders", operation_id = "getOrderHistory",
    params(parameters::OrderId),
    responses(
        (status = 200, description = "The history", body = HistoryView, headers(("Age"))),
        Refusals)
)]
pub async fn get_history(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let found = state.orders.history(id, &caller).await?;
    let history = HistoryView {
        order_id: id.0,
        items: view::history(&found.order),
    };
    answer::json_of(StatusCode::OK, &history).map(|response| answer::aged(response, found.age))
}
