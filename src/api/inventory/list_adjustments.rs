//! `GET /api/v1/inventory/items/{sku}/adjustments`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::adjustment_view::AdjustmentView;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::{Query, SkuPath};
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::state::InventoryState;
use crate::api::{cursor, etag};

/// A page of adjustments.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockAdjustmentPage)]
pub struct AdjustmentPage {
    /// Newest first.
    pub items: Vec<AdjustmentView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

refusals!(Refusals = LIST, UNCONDITIONAL; ItemNotFound);

/// List what was added to an item and taken from it, newest first.
#[utoipa::path(
    get, path = "/api/v1/inventory/items/{sku}/adjustments", tag = "inventory", operation_id = "listStockAdjustments",
    params(parameters::SkuOfPath, parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = AdjustmentPage), Refusals)
)]
pub async fn list_adjustments(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<AdjustmentPage>, Problem> {
    etag::refuse_all(&headers)?;
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let before = query.get("cursor")?.map(cursor::number).transpose()?;
    // One more than the page holds tells whether there is a next page.
    let found = state.stock.adjustments(&sku, before, limit + 1).await?;
    if found.is_empty() && state.stock.item(&sku).await?.is_none() {
        return Err(Problem::new(Code::ItemNotFound, format!("no item {sku}")));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    let items = found.into_iter().take(limit);
    let items: Vec<_> = items.map(|one| AdjustmentView::of(&sku, one)).collect();
    let last = items.last().filter(|_| has_more);
    Ok(Json(AdjustmentPage {
        next_cursor: last.map(|one| cursor::before_number(one.id)),
        items,
    }))
}
