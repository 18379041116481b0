//! `GET /api/v1/orders/{id}/tracking-link`.

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
use crate::api::problem_code::Code;
use crate::api::state::ApiState;
use crate::ports::orders::OrdersExt as _;

/// The tracking link of an order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TrackingLink)]
pub struct TrackingLinkView {
    /// Where whoever has this link follows the order, without any other credential, until 24 hours after its end.
    pub tracking_url: String,
}

refusals!(Refusals = ORDER, UNCONDITIONAL; TrackingLinkNotFound);

/// The tracking link of an order, for whoever is to follow it.
///
/// 404 where there are no tracking links, and once the order's has ended.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/tracking-link", tag = "orders", operation_id = "getTrackingLink",
    params(parameters::OrderId),
    responses(
        (status = 200, description = "The link", body = TrackingLinkView),
        Refusals)
)]
pub async fn get_tracking_link(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let found = state.orders.history(id, &caller).await?;
    let url = state.links.url(id);
    let url = url.filter(|_| !state.links.has_ended(&found.order));
    let tracking_url = url.ok_or_else(|| {
        Problem::new(Code::TrackingLinkNotFound, "the order has no tracking link")
    })?;
    answer::json_of(StatusCode::OK, &TrackingLinkView { tracking_url })
}
