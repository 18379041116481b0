//! `GET /api/v1/tracking/{token}/events`: the order of a tracking link as server-sent events. [`super::events`] has
//! the stream.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use trackops_domain::ids::{OrderId, Version};

use super::events::{self, Source};
use super::tracking_link::{SHOWN_PATH, TrackingState, caller, told};
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::problem::Problem;

refusals!(Refusals = PARAMETERS, UNCONDITIONAL, CONDITIONS; TrackingLinkNotFound, Unavailable);

/// The snapshots, updates and courier positions of a tracking link's order as they come, as whoever has the link may see
/// them.
///
/// It begins, goes on and refuses as the stream of an order does. It ends when the link ends.
#[utoipa::path(
    get, path = "/api/v1/tracking/{token}/events", tag = "live", operation_id = "streamTrackingEvents",
    params(parameters::Token, parameters::LastEventId, parameters::Since),
    responses(
        (status = 200, description =
            "Events `snapshot`, `update`, `location` and `problem`; `id` is the version, `data` one JSON object",
            content_type = "text/event-stream", body = String),
        (status = 204, description = "The client has the final version: nothing will follow"),
        Refusals)
)]
pub async fn stream_tracking_events(
    State(state): State<TrackingState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let since = events::since(&headers, &uri)?;
    let order = state.order_of(&uri)?;
    let opened = open(state, order, since).await;
    events::begun(opened.map_err(|problem| told(&problem)), SHOWN_PATH, None)
}

async fn open(
    state: TrackingState,
    order: OrderId,
    since: Option<Version>,
) -> Result<Response, Problem> {
    let source = Source {
        caller: &caller(),
        order,
        since,
        ending: None,
        links: Some(state.links),
    };
    events::open(state.live, source).await
}
