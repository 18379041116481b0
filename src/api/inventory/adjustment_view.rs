//! An adjustment of an item as clients see it. Leaves the decision to the stock ledger.

use crate::api::schemas::{AdjustmentReason, StockDelta};
use crate::codec::schema::Time;
use serde::Serialize;
use trackops_domain::ids::Sku;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::item_view::ItemView;
use crate::codec::rfc3339;
use crate::ports::stock::Adjustment;

/// What somebody has added to an item or taken from it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StockAdjustment)]
pub struct AdjustmentView {
    /// Rises with each adjustment.
    pub id: i64,
    /// How many more, or fewer.
    #[schema(value_type = StockDelta)]
    pub delta: i64,
    /// Why.
    #[schema(value_type = AdjustmentReason)]
    pub reason: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
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
