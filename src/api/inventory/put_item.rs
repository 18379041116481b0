//! `PUT /api/v1/inventory/items/{sku}`.

use crate::codec::schema::Count;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use trackops_domain::stock::ON_HAND_MAX;
use utoipa::ToSchema;

use super::item_etag;
use super::item_view::ItemView;
use crate::api::error_answers::refusals;
use crate::api::json;
use crate::api::parameters;
use crate::api::params::SkuPath;
use crate::api::problem::Problem;
use crate::api::request_headers::{idempotency_key, mark_replayed};
use crate::api::state::InventoryState;
use crate::codec::content::FieldError;
use crate::codec::whole;

/// The new quantity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockLevel)]
pub struct OnHandBody {
    /// In the house, reserved or not; at least what is reserved.
    #[serde(deserialize_with = "whole::read")]
    #[schema(value_type = Count, example = 100)]
    pub on_hand: i64,
}

refusals!(Refusals = PARAMETERS, CONDITIONS, KEY, BODY; PreconditionFailed, BelowReserved, Unavailable);

/// Set how many of an item are on hand; creates the item.
///
/// Whoever reads a quantity and writes another one loses what was written in between, unless it sends
/// `If-Match`. To add or take, `POST …/adjustments`. A known `Idempotency-Key` is answered as the first
/// time, whatever the conditions.
#[utoipa::path(
    put, path = "/api/v1/inventory/items/{sku}", tag = "inventory", operation_id = "setStockLevel",
    params(parameters::SkuOfPath, parameters::IfMatch, parameters::IfNoneMatch, parameters::IdempotencyKey),
    request_body = OnHandBody,
    responses(
        (status = 200, description = "The item", body = ItemView, headers(("ETag"),
            ("Idempotency-Replayed"))),
        Refusals)
)]
pub async fn put_item(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let condition = item_etag::condition(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let check = |body: OnHandBody| {
        let on_hand = u64::try_from(body.on_hand).ok();
        let on_hand = on_hand.filter(|on_hand| *on_hand <= ON_HAND_MAX);
        on_hand.ok_or_else(|| {
            vec![FieldError {
                pointer: "/onHand".into(),
                detail: format!("must be 0 to {ON_HAND_MAX}"),
            }]
        })
    };
    let on_hand = json::read_checked(&parts.headers, body, check).await?;
    let set = state.stock.set_on_hand(&sku, on_hand, &condition, key);
    let (item, replayed) = set.await?;
    let mut response = ItemView::answer(&sku, item);
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}
