//! `GET /api/v1/tracking/{token}`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;

use super::tracking_link::{TrackingState, caller, not_found, told};
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::orders::answer;
use crate::api::parameters;
use crate::api::problem::Problem;
use crate::codec::tracking::TrackingView;
use crate::ports::orders::OrdersExt as _;

refusals!(Refusals = UNCONDITIONAL; TrackingLinkNotFound, Unavailable);

/// The order of a tracking link, as whoever has the link may see it.
///
/// A link needs no other credential. One that is wrong, that has ended, or whose order isn't there any more is
/// always the same 404.
#[utoipa::path(
    get, path = "/api/v1/tracking/{token}", tag = "orders", operation_id = "getTracking",
    params(parameters::Token),
    responses(
        (status = 200, description = "The order", body = TrackingView, headers(("Age"))),
        Refusals)
)]
pub async fn get_tracking(
    State(state): State<TrackingState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let order = state.order_of(&uri)?;
    show(&state, order).await.map_err(|problem| told(&problem))
}

async fn show(state: &TrackingState, id: OrderId) -> Result<Response, Problem> {
    let (orders, caller) = (&state.live.orders, caller());
    let found = orders.history(id, &caller).await?;
    if state.links.has_ended(&found.order) {
        return Err(not_found());
    }
    let position = if found.order.status() == Status::InTransit {
        orders.read(id, &caller).await?.position
    } else {
        None
    };
    let view = TrackingView::of(&found.order, position);
    let response = answer::json_of(StatusCode::OK, &view)?;
    Ok(answer::aged(response, found.age))
}
