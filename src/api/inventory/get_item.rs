//! `GET /api/v1/inventory/items/{sku}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::ItemView;
use crate::api::openapi::ReadErrors;
use crate::api::params::SkuPath;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::state::InventoryState;

/// Show an item's stock.
#[utoipa::path(
    get, path = "/api/v1/inventory/items/{sku}", tag = "inventory",
    params(("sku" = String, Path, description = "1 to 64 visible ASCII characters, and not `.` or `..`")),
    responses((status = 200, description = "The item", body = ItemView), ReadErrors)
)]
pub async fn get_item(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
) -> Result<Json<ItemView>, Problem> {
    let level = state.stock.item(&sku).await?;
    level
        .map(|level| Json(ItemView::of(&sku, level)))
        .ok_or_else(|| Problem::new(Code::ItemNotFound, format!("no item {sku}")))
}
