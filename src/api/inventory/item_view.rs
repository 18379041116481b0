//! An item as clients see it. Leaves changes of it to the stock ledger.

use crate::codec::schema::{Count, SkuName};
use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use trackops_domain::ids::Sku;
use utoipa::ToSchema;

use super::item_etag;
use crate::ports::stock::Item;

/// What is known of one item.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockItem)]
pub struct ItemView {
    /// The stock keeping unit.
    #[schema(value_type = SkuName)]
    pub sku: String,
    /// In the house, reserved or not.
    #[schema(value_type = Count)]
    pub on_hand: u64,
    /// Promised to orders.
    #[schema(value_type = Count)]
    pub reserved: u64,
    /// What may still be promised.
    #[schema(value_type = Count)]
    pub available: u64,
    /// Rises with every change, of what is reserved, too; the `ETag` without its quotes.
    pub version: u64,
}

impl ItemView {
    /// The view of `item`.
    pub fn of(sku: &Sku, item: Item) -> Self {
        Self {
            sku: sku.as_str().into(),
            on_hand: item.level.on_hand,
            reserved: item.level.reserved,
            available: item.level.available(),
            version: item.version,
        }
    }

    /// The answer that shows it, with its tag.
    pub fn answer(sku: &Sku, item: Item) -> Response {
        let tag = [(header::ETAG, item_etag::of(item.version))];
        (tag, Json(Self::of(sku, item))).into_response()
    }
}
