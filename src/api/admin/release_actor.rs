//! `POST /admin/v1/actors/{orderId}/release`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::request_headers::idempotency_key;
use crate::ports::orders::{Orders, OrdersExt};

/// An order that is in no quarantine.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ActorRelease)]
pub struct ReleasedView {
    /// The order.
    pub order_id: uuid::Uuid,
    /// Whether this released it; `false` if it was in none before.
    pub released: bool,
}

refusals!(Refusals = ORDER, UNCONDITIONAL, UNUSED_KEY);

/// Let a quarantined order try again.
#[utoipa::path(
    post, path = "/admin/v1/actors/{orderId}/release", tag = "operations", operation_id = "releaseActor",
    params(parameters::OrderIdOfPath, parameters::IdempotencyKey),
    responses((status = 200, description = "Whether it was quarantined", body = ReleasedView),
        Refusals)
)]
pub async fn release_actor(
    State(orders): State<Arc<dyn Orders>>,
    OrderPath(id): OrderPath,
    headers: HeaderMap,
) -> Result<Json<ReleasedView>, Problem> {
    etag::refuse_all(&headers)?;
    idempotency_key(&headers)?;
    let released = orders.release(id).await?;
    tracing::info!(order = %id, released, "release of a quarantined order asked for");
    Ok(Json(ReleasedView {
        order_id: id.0,
        released,
    }))
}
