//! `PUT /api/v1/orders/{id}/status`.

use crate::codec::schema::{CourierName, OrderStatus};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use trackops_domain::command::Command;
use trackops_domain::ids::CourierId;
use trackops_domain::status::Status;
use utoipa::ToSchema;

use super::answer::{self, CommandHeaders};
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::json;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::api::state::ApiState;
use crate::codec::view::OrderView;

/// The step to take.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderStep)]
pub struct StatusBody {
    /// The status to go to; `CANCELLED` means cancel.
    #[schema(value_type = OrderStatus, example = "PREPARING")]
    pub status: String,
    /// Who takes the order to the customer; 1 to 64 visible ASCII characters. Only with `PREPARING` and
    /// `IN_TRANSIT`.
    #[schema(value_type = Option<CourierName>)]
    pub courier_id: Option<String>,
}

refusals!(Refusals = ORDER, UNCONDITIONAL, CONDITIONS, KEY, BODY, STEP; PreconditionFailed);

/// Take the next step of an order.
///
/// The step to the status that the order already has changes nothing and is a success, also if it names another
/// courier.
#[utoipa::path(
    put, path = "/api/v1/orders/{id}/status", tag = "orders", operation_id = "advanceOrder",
    params(parameters::OrderId, parameters::IfMatch, parameters::IdempotencyKey),
    request_body = StatusBody,
    responses(
        (status = 200, description = "The order after the step", body = OrderView, headers(("ETag"),
            ("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn put_status(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let headers = CommandHeaders::of(&parts)?;
    let body: StatusBody = json::read(&parts.headers, body).await?;
    let wanted = Status::parse(&body.status).ok_or_else(|| {
        let names = Status::ALL.map(Status::as_str).join(", ");
        Problem::invalid_field("/status", format!("must be one of {names}"))
    })?;
    let courier = body.courier_id.as_deref();
    let courier = courier.map(|name| courier_of(wanted, name)).transpose()?;
    let command = Command::Advance {
        to: wanted,
        courier,
    };
    answer::command(&state, caller, id, headers, command).await
}

fn courier_of(wanted: Status, name: &str) -> Result<CourierId, Problem> {
    let refused = |detail: &str| Problem::invalid_field("/courierId", detail);
    if !wanted.may_name_courier() {
        return Err(refused("is only for the steps to PREPARING and IN_TRANSIT"));
    }
    CourierId::parse(name).ok_or_else(|| refused("must be 1 to 64 visible ASCII characters"))
}
