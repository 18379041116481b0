//! `GET /api/v1/inventory/items`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::item_view::ItemView;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::Query;
use crate::api::problem::Problem;
use crate::api::state::InventoryState;
use crate::api::{cursor, etag};

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockItemPage)]
pub struct ItemPage {
    /// In order of SKU.
    pub items: Vec<ItemView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

refusals!(Refusals = LIST, UNCONDITIONAL);

/// List the items and their stock, in order of SKU.
#[utoipa::path(
    get, path = "/api/v1/inventory/items", tag = "inventory", operation_id = "listStockItems",
    params(parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = ItemPage), Refusals)
)]
pub async fn list_items(
    State(state): State<Arc<InventoryState>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ItemPage>, Problem> {
    etag::refuse_all(&headers)?;
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let after = query.get("cursor")?.map(cursor::sku).transpose()?;
    // One more than the page holds tells whether there is a next page.
    let mut levels = state.stock.items(after.as_ref(), limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = levels.len() > limit;
    levels.truncate(limit);
    let last = levels.last().filter(|_| has_more);
    Ok(Json(ItemPage {
        next_cursor: last.map(|(sku, _)| cursor::of_sku(sku)),
        items: levels
            .iter()
            .map(|(sku, item)| ItemView::of(sku, *item))
            .collect(),
    }))
}
