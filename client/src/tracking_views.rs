//! An order as whoever has its tracking link sees it.

use serde::{Deserialize, Serialize};

use super::order_views::CourierView;
use super::status::Status;
use super::timestamp::Timestamp;

/// The tracking link of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TrackingLink {
    /// Where whoever has this link follows the order, until 24 hours after its end. The path alone, if the server
    /// wasn't told where that is.
    pub tracking_url: String,
}

/// An order as whoever has its tracking link sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TrackingView {
    /// Where it stands.
    pub status: Status,
    /// Number of committed changes; 1 as placed.
    pub version: u32,
    /// The statuses that it has had, oldest first.
    pub stages: Vec<Stage>,
    /// What was ordered.
    pub items: Vec<TrackedItem>,
    /// The city that it goes to.
    pub city: String,
    /// Why, once REJECTED or CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the courier is, while IN_TRANSIT and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub courier: Option<CourierView>,
}

/// A status that an order has had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stage {
    /// The status.
    pub status: Status,
    /// Since when.
    pub at: Timestamp,
}

/// A line of an order, without its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackedItem {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}
