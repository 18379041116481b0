//! `PUT /api/v1/inventory/items/{sku}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::ItemView;
use crate::api::json;
use crate::api::openapi::WriteErrors;
use crate::api::params::SkuPath;
use crate::api::problem::Problem;
use crate::api::request_headers::{IDEMPOTENCY_REPLAYED, idempotency_key};
use crate::api::state::InventoryState;
use crate::codec::whole;

/// The most of one item: what a JSON number carries through every client (2^53 - 1).
const ON_HAND_MAX: i64 = (1 << 53) - 1;

/// The new quantity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnHandBody {
    /// In the house, reserved or not; at least what is reserved.
    #[serde(deserialize_with = "whole::read")]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 100)]
    pub on_hand: i64,
}

/// Set how many of an item are on hand; creates the item.
#[utoipa::path(
    put, path = "/api/v1/inventory/items/{sku}", tag = "inventory",
    params(("sku" = String, Path, description = "1 to 64 visible ASCII characters, and not `.` or `..`"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters")),
    request_body = OnHandBody,
    responses(
        (status = 200, description = "The item", body = ItemView, headers(
            ("Idempotency-Replayed" = Option<String>, description = "`true` on a repeat"))),
        WriteErrors)
)]
pub async fn put_item(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body: OnHandBody = json::read(&parts.headers, body).await?;
    let key = idempotency_key(&parts.headers)?;
    let on_hand = u64::try_from(body.on_hand)
        .ok()
        .filter(|_| body.on_hand <= ON_HAND_MAX)
        .ok_or_else(|| Problem::invalid_field("/onHand", format!("must be 0 to {ON_HAND_MAX}")))?;
    let (level, replayed) = state.stock.set_on_hand(&sku, on_hand, key).await?;
    let mut response = Json(ItemView::of(&sku, level)).into_response();
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
