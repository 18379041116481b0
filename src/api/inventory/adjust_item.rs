//! `POST /api/v1/inventory/items/{sku}/adjustments`.

use crate::api::schemas::{AdjustmentReason, REASON_CHARS_MAX, StockDelta};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use trackops_domain::stock::ON_HAND_MAX;
use utoipa::ToSchema;

use super::adjustment_view::AdjustmentView;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::SkuPath;
use crate::api::problem::Problem;
use crate::api::request_headers::{idempotency_key, mark_replayed};
use crate::api::state::InventoryState;
use crate::api::{etag, json};
use crate::codec::content::FieldError;

/// An adjustment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockAdjustmentDraft)]
pub struct AdjustmentBody {
    /// How many more, or with a minus fewer; not 0.
    #[schema(value_type = StockDelta, example = 5)]
    pub delta: i64,
    /// Why: 1 to 200 characters.
    #[schema(value_type = AdjustmentReason, example = "delivery 4711")]
    pub reason: String,
}

refusals!(Refusals = PARAMETERS, UNCONDITIONAL, KEY, BODY; ItemNotFound, BelowReserved, Unavailable);

/// Add to what is on hand of an item, or take from it, in one step.
///
/// Two that come at once both count, which two writes of a quantity don't.
#[utoipa::path(
    post, path = "/api/v1/inventory/items/{sku}/adjustments", tag = "inventory", operation_id = "adjustStock",
    params(parameters::SkuOfPath, parameters::IdempotencyKey),
    request_body = AdjustmentBody,
    responses(
        (status = 201, description = "The adjustment, and the item after it", body = AdjustmentView,
            headers(("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn adjust_item(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // An adjustment makes sense at any version.
    etag::refuse_all(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let body = json::read_checked(&parts.headers, body, check).await?;
    let adjusted = state.stock.adjust(&sku, body.delta, &body.reason, key);
    let (adjustment, replayed) = adjusted.await?;
    let view = Json(AdjustmentView::of(&sku, adjustment));
    let mut response = (StatusCode::CREATED, view).into_response();
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}

/// The body, or every field that breaks a rule.
fn check(body: AdjustmentBody) -> Result<AdjustmentBody, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut refuse = |pointer: &str, detail: String| {
        errors.push(FieldError {
            pointer: pointer.into(),
            detail,
        });
    };
    if body.delta == 0 || body.delta.unsigned_abs() > ON_HAND_MAX {
        refuse(
            "/delta",
            format!("must be -{ON_HAND_MAX} to {ON_HAND_MAX}, and not 0"),
        );
    }
    let is_visible = !body.reason.trim().is_empty() && !body.reason.contains(char::is_control);
    if !is_visible || body.reason.chars().count() > REASON_CHARS_MAX {
        refuse(
            "/reason",
            format!("must be 1 to {REASON_CHARS_MAX} characters without control characters"),
        );
    }
    if errors.is_empty() {
        return Ok(body);
    }
    Err(errors)
}
