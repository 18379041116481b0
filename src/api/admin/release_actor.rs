//! `POST /admin/v1/actors/{orderId}/release`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::dead_letter_desk::DeadLetterDesk;
use crate::api::openapi::ReadErrors;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::request_headers::idempotency_key;
use crate::ports::orders::Orders;

/// What a release works with.
#[derive(Clone)]
pub struct ReleaseState {
    /// Whose actors.
    pub orders: Arc<dyn Orders>,
    /// Where messages of a quarantined order were parked meanwhile.
    pub dead_letters: Option<Arc<dyn DeadLetterDesk>>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleasedView {
    /// The order.
    pub order_id: uuid::Uuid,
    /// It was quarantined and may try again; `false` if it wasn't quarantined.
    pub released: bool,
    /// Messages that were parked during the quarantine and are sent again now.
    pub sent_again: usize,
}

/// Let a quarantined order try again, and send again what was parked of it meanwhile.
///
/// May be repeated: the consumers know a message that they have had.
#[utoipa::path(
    post, path = "/admin/v1/actors/{orderId}/release", tag = "operations",
    params(("orderId" = uuid::Uuid, Path, description = "The order")),
    responses((status = 200, description = "Whether it was quarantined", body = ReleasedView),
        ReadErrors)
)]
pub async fn release_actor(
    State(state): State<ReleaseState>,
    OrderPath(id): OrderPath,
    headers: HeaderMap,
) -> Result<Json<ReleasedView>, Problem> {
    idempotency_key(&headers)?;
    let released = state.orders.release(id).await?;
    let sent_again = match &state.dead_letters {
        Some(desk) => desk.send_order_again(id).await?,
        None => 0,
    };
    tracing::info!(order = %id, released, sent_again, "release of a quarantined order asked for");
    Ok(Json(ReleasedView {
        order_id: id.0,
        released,
        sent_again,
    }))
}
