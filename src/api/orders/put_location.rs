//! `PUT /api/v1/orders/{id}/location`.

use crate::codec::schema::{Latitude, Longitude, Time};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::answer;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::json;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::request_headers::{idempotency_key, mark_replayed};
use crate::api::state::ApiState;
use crate::codec::content::FieldError;
use crate::codec::rfc3339;
use crate::model::order_request::{LocateRequest, LocationKey, command_id};
use crate::model::position::Position;
use crate::ports::orders::OrdersExt as _;

/// How far ahead of this server's clock a measurement may be: clocks differ.
const AHEAD_MAX: Duration = Duration::from_secs(30);

/// How old a measurement may be: what a phone kept in a tunnel still counts, yesterday's doesn't.
const AGE_MAX: Duration = Duration::from_mins(10);

/// Where the courier is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = PositionReport)]
pub struct LocationBody {
    /// Degrees, WGS 84.
    #[schema(value_type = Latitude)]
    pub lat: f64,
    /// Degrees, WGS 84.
    #[schema(value_type = Longitude)]
    pub lon: f64,
    /// When it was measured, RFC 3339: at most 10 minutes ago, and at most 30 seconds ahead of the
    /// server; now, unless given.
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    pub at: Option<String>,
}

refusals!(Refusals = ORDER, UNCONDITIONAL, KEY, BODY; NotInTransit);

/// Tell where the courier of an order is.
///
/// Only while the order is IN_TRANSIT. The position is pushed to everyone who watches; it makes no
/// version. The newest measurement counts: one that comes late and is older than what is known is taken
/// and changes nothing. A repeat under the same key changes nothing. Positions are not stored for good and neither
/// are their keys: both are known while the replica has the order in memory.
#[utoipa::path(
    put, path = "/api/v1/orders/{id}/location", tag = "orders", operation_id = "reportPosition",
    params(parameters::OrderId, parameters::IdempotencyKey),
    request_body = LocationBody,
    responses(
        (status = 204, description = "Taken", headers(("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn put_location(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // A position makes no version, so no entity tag can name it.
    etag::refuse_all(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let check = |body: LocationBody| {
        let position = position(&body, state.clock.now())?;
        Ok((position, key.map(|_| answer::canonical_hash(&body))))
    };
    let (position, body) = json::read_checked(&parts.headers, body, check).await?;
    let key = key.zip(body).map(|(key, body)| LocationKey {
        id: command_id(&caller, id, key),
        body,
    });
    let request = LocateRequest {
        order: id,
        position,
        key,
        caller: caller.clone(),
    };
    let is_repeat = state.orders.locate(request).await;
    let is_repeat = is_repeat.map_err(|error| Problem::from(error).narrowed_to(&caller))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if is_repeat {
        mark_replayed(&mut response);
    }
    Ok(response)
}

fn position(body: &LocationBody, now: Timestamp) -> Result<Position, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut refuse = |pointer: &str, detail: &str| {
        errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    };
    if !(-90.0..=90.0).contains(&body.lat) {
        refuse("/lat", "must be -90 to 90 degrees");
    }
    if !(-180.0..=180.0).contains(&body.lon) {
        refuse("/lon", "must be -180 to 180 degrees");
    }
    let at = match body.at.as_deref().map(rfc3339::parse) {
        None => now,
        Some(Some(at)) => at,
        Some(None) => {
            refuse(
                "/at",
                "must be an RFC 3339 timestamp such as 2026-01-31T12:00:00Z",
            );
            now
        }
    };
    if at > now.plus(AHEAD_MAX) {
        let seconds = AHEAD_MAX.as_secs();
        refuse(
            "/at",
            &format!("must be at most {seconds} s ahead of the server"),
        );
    }
    if now.since(at) > AGE_MAX {
        let minutes = AGE_MAX.as_secs() / 60;
        refuse("/at", &format!("must be at most {minutes} minutes ago"));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Position {
        lat: body.lat,
        lon: body.lon,
        at,
    })
}
