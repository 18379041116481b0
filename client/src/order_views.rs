//! Orders as requests and answers have them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::Status;
use super::timestamp::Timestamp;

/// What is ordered. The server checks its rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderContent {
    /// Who orders.
    pub customer_id: Uuid,
    /// ISO 4217 code, e.g. `EUR`.
    pub currency: String,
    /// 1 to 100 lines.
    pub items: Vec<OrderItem>,
    /// Where to deliver.
    pub address: Address,
    /// For the courier; at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_instructions: Option<String>,
    /// The shop that prepares it; 1 to 64 visible ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop_id: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// 1 to 64 visible ASCII characters; not `.` or `..`.
    pub sku: String,
    /// 1 to 10,000.
    pub quantity: i64,
    /// Price of one in minor units (cents), 0 to 1,000,000,000.
    pub unit_price: i64,
}

/// Where to deliver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Street and number, 1 to 200 characters.
    pub street: String,
    /// City, 1 to 200 characters.
    pub city: String,
    /// Postal code, 1 to 32 characters.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2 code, e.g. `DE`.
    pub country: String,
    /// Degrees, WGS 84; together with `lon` or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Degrees, WGS 84.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// Phone of the recipient, at most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderView {
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub status: Status,
    /// Number of committed changes; 1 as placed.
    pub version: u32,
    /// What was ordered.
    #[serde(flatten)]
    pub content: OrderContent,
    /// Sum of the items in minor units.
    pub total_amount: i64,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Why, once REJECTED or CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who takes it to the customer: the courier that was named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier_id: Option<String>,
    /// Where the courier is, while IN_TRANSIT and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier: Option<CourierView>,
    /// The tracking link, in the answer to a placement only: where whoever has it follows the order. Missing where
    /// there are no tracking links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_url: Option<String>,
}

/// Where a courier was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CourierView {
    /// Degrees, WGS 84.
    pub lat: f64,
    /// Degrees, WGS 84.
    pub lon: f64,
    /// When.
    pub at: Timestamp,
}

/// Every change of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryView {
    /// The order.
    pub order_id: Uuid,
    /// Every version, oldest first.
    pub items: Vec<HistoryEntry>,
}

/// One change of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryEntry {
    /// The version that the change led to.
    pub version: u32,
    /// The status before; none for the first.
    pub previous_status: Option<Status>,
    /// The status after.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// On whose behalf.
    pub by: String,
    /// The command that caused it.
    pub command_id: Uuid,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The courier that was named with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier_id: Option<String>,
}

/// Where a courier is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Position {
    /// Degrees, WGS 84.
    pub lat: f64,
    /// Degrees, WGS 84.
    pub lon: f64,
    /// When it was measured: at most 10 minutes ago; now, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}
