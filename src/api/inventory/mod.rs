//! The endpoints of stock and reservations, under `/api/v1/inventory`.

mod adjust_item;
mod get_item;
mod get_reservation;
pub(super) mod item_etag;
mod list_adjustments;
mod list_items;
mod put_item;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use trackops_domain::ids::Sku;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use crate::api::request_headers::IDEMPOTENCY_REPLAYED;
use crate::codec::rfc3339;
use crate::ports::stock::{Adjustment, Item};

pub use adjust_item::{__path_adjust_item, AdjustmentBody, adjust_item};
pub use get_item::{__path_get_item, get_item};
pub use get_reservation::{
    __path_get_reservation, ReservationBody, ReservationLine, get_reservation,
};
pub use list_adjustments::{__path_list_adjustments, AdjustmentPage, list_adjustments};
pub use list_items::{__path_list_items, ItemPage, list_items};
pub use put_item::{__path_put_item, OnHandBody, put_item};

/// What is known of one item.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemView {
    /// The stock keeping unit.
    pub sku: String,
    /// In the house, reserved or not.
    pub on_hand: u64,
    /// Promised to orders.
    pub reserved: u64,
    /// What may still be promised.
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

/// What somebody has added to an item or taken from it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdjustmentView {
    /// Rises with each adjustment.
    pub id: i64,
    /// How many more, or fewer.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The item after it.
    pub item: ItemView,
}

impl AdjustmentView {
    /// The view of `adjustment` of `sku`.
    pub fn of(sku: &Sku, adjustment: Adjustment) -> Self {
        Self {
            id: adjustment.id,
            delta: adjustment.delta,
            reason: adjustment.reason,
            at: adjustment.at,
            item: ItemView::of(sku, adjustment.item),
        }
    }
}

/// Marks the answer to a repeat.
fn mark_replayed(response: &mut Response) {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, yes);
}
