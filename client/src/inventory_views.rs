//! Stock as answers have it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::timestamp::Timestamp;

/// What is known of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ItemView {
    /// The stock keeping unit.
    pub sku: String,
    /// In the house, reserved or not.
    pub on_hand: u64,
    /// Promised to orders.
    pub reserved: u64,
    /// What may still be promised.
    pub available: u64,
    /// Rises with every change, of what is reserved, too.
    pub version: u64,
}

/// What somebody has added to an item or taken from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AdjustmentView {
    /// Rises with each adjustment.
    pub id: i64,
    /// How many more, or fewer.
    pub delta: i64,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The item after it.
    pub item: ItemView,
}

/// What an order holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReservationView {
    /// The order.
    pub order_id: Uuid,
    /// `RESERVED`, `FAILED`, `RELEASED`, `SHIPPED`, or `BARRED` if the cancellation came first.
    pub state: String,
    /// What is or was held; what was asked for, if it failed.
    pub items: Vec<ReservationLine>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One item of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReservationLine {
    /// The stock keeping unit.
    pub sku: String,
    /// How many.
    pub quantity: u64,
}
