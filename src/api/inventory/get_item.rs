//! `GET /api/v1/inventory/items/{sku}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::item_etag;
use super::item_view::ItemView;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::SkuPath;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::state::InventoryState;
use crate::ports::stock::Condition;

refusals!(Refusals = PARAMETERS, UNCONDITIONAL, CONDITIONS; ItemNotFound, Unavailable);

/// Show an item's stock.
#[utoipa::path(
    get, path = "/api/v1/inventory/items/{sku}", tag = "inventory", operation_id = "getStockItem",
    params(parameters::SkuOfPath, parameters::IfNoneMatch),
    responses(
        (status = 200, description = "The item", body = ItemView, headers(("ETag"))),
        (status = 304, description = "The client has this version", headers(("ETag"))),
        Refusals)
)]
pub async fn get_item(
    State(state): State<Arc<InventoryState>>,
    SkuPath(sku): SkuPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse(&headers, &header::IF_MATCH)?;
    let unwanted = Condition {
        if_none_match: item_etag::if_none_match(&headers)?,
        ..Condition::default()
    };
    let item = state.stock.item(&sku).await?;
    let item = item.ok_or_else(|| Problem::new(Code::ItemNotFound, format!("no item {sku}")))?;
    if unwanted.check(Some(item.version)).is_err() {
        let tag = [(header::ETAG, item_etag::of(item.version))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(ItemView::answer(&sku, item))
}
