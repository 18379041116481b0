//! `POST /api/v1/orders/{id}/cancel`.

use crate::codec::schema::ReasonText;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use trackops_domain::command::{Command, REASON_UNLESS_GIVEN};
use trackops_domain::placed::limits::REASON_CHARS_MAX;
use trackops_domain::visible::has_visible;
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

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = OrderCancellation)]
pub struct CancelBody {
    /// 1 to 500 characters, shown to everyone who watches; `cancelled` unless given.
    #[serde(default)]
    #[schema(value_type = Option<ReasonText>, example = "changed my mind")]
    pub reason: Option<String>,
}

refusals!(Refusals = ORDER, UNCONDITIONAL, CONDITIONS, KEY, BODY, STEP; PreconditionFailed);

/// Cancel an order and give back what was reserved for it.
///
/// Cancelling a cancelled order changes nothing and is a success.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    params(parameters::OrderId, parameters::IfMatch, parameters::IdempotencyKey),
    request_body = CancelBody,
    responses(
        (status = 200, description = "The cancelled order", body = OrderView, headers(("ETag"),
            ("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn cancel_order(
    State(state): State<Arc<ApiState>>,
    OrderPath(id): OrderPath,
    By(caller): By,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let headers = CommandHeaders::of(&parts)?;
    let body: CancelBody = json::read_or_default(&parts.headers, body).await?;
    let reason = reason(body.reason)?;
    answer::command(&state, caller, id, headers, Command::Cancel { reason }).await
}

fn reason(given: Option<String>) -> Result<Box<str>, Problem> {
    let Some(reason) = given else {
        return Ok(REASON_UNLESS_GIVEN.into());
    };
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        return Err(Problem::invalid_field(
            "/reason",
            format!("must have 1 to {REASON_CHARS_MAX} characters"),
        ));
    }
    if !has_visible(&reason) {
        return Err(Problem::invalid_field(
            "/reason",
            "must have a visible character",
        ));
    }
    // Valid JSON, but neither PostgreSQL's text nor its jsonb takes it.
    if reason.contains('\0') {
        return Err(Problem::invalid_field("/reason", "must not contain U+0000"));
    }
    Ok(reason.into())
}
