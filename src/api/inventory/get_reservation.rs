//! `GET /api/v1/inventory/reservations/{orderId}`.

use crate::api::schemas::ReservationState;
use crate::codec::schema::{SkuName, Time};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::state::InventoryState;
use crate::codec::rfc3339;

/// An order's reservation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reservation)]
pub struct ReservationBody {
    /// The order.
    pub order_id: uuid::Uuid,
    /// `RESERVED`, `FAILED`, `RELEASED`, `SHIPPED`, or `BARRED` if the cancellation came first.
    #[schema(value_type = ReservationState)]
    pub state: &'static str,
    /// What is or was held; what was asked for, if it failed.
    pub items: Vec<ReservationLine>,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub updated_at: Timestamp,
}

/// One item of a reservation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationLine {
    /// The stock keeping unit.
    #[schema(value_type = SkuName)]
    pub sku: String,
    /// How many.
    pub quantity: u64,
}

refusals!(Refusals = PARAMETERS, UNCONDITIONAL; ReservationNotFound, Unavailable);

/// Show an order's reservation.
#[utoipa::path(
    get, path = "/api/v1/inventory/reservations/{orderId}", tag = "inventory", operation_id = "getReservation",
    params(parameters::OrderIdOfPath),
    responses((status = 200, description = "The reservation", body = ReservationBody), Refusals)
)]
pub async fn get_reservation(
    State(state): State<Arc<InventoryState>>,
    OrderPath(id): OrderPath,
    headers: HeaderMap,
) -> Result<Json<ReservationBody>, Problem> {
    etag::refuse_all(&headers)?;
    let reservation = state.stock.reservation(id).await?.ok_or_else(|| {
        Problem::new(
            Code::ReservationNotFound,
            format!("no reservation of order {id}"),
        )
    })?;
    let lines = reservation
        .items
        .iter()
        .map(|(sku, quantity)| ReservationLine {
            sku: sku.as_str().into(),
            quantity: *quantity,
        });
    Ok(Json(ReservationBody {
        order_id: id.0,
        state: reservation.state.as_str(),
        items: lines.collect(),
        updated_at: reservation.updated_at,
    }))
}
