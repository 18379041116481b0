//! `GET /api/v1/inventory/reservations/{orderId}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use crate::api::error_answers::ReadErrors;
use crate::api::etag;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::state::InventoryState;
use crate::codec::rfc3339;

/// An order's reservation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationBody {
    /// The order.
    pub order_id: uuid::Uuid,
    /// `RESERVED`, `FAILED`, `RELEASED`, `SHIPPED`, or `BARRED` if the cancellation came first.
    #[schema(value_type = String, example = "RESERVED")]
    pub state: &'static str,
    /// What is or was held; what was asked for, if it failed.
    pub items: Vec<ReservationLine>,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// One item of a reservation.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationLine {
    /// The stock keeping unit.
    pub sku: String,
    /// How many.
    pub quantity: u64,
}

/// Show an order's reservation.
#[utoipa::path(
    get, path = "/api/v1/inventory/reservations/{orderId}", tag = "inventory",
    params(("orderId" = uuid::Uuid, Path, description = "The order")),
    responses((status = 200, description = "The reservation", body = ReservationBody), ReadErrors)
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
