//! Live messages on the wire. Unknown kinds are read as such: a newer server may have more.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::order_views::OrderView;
use crate::problem::Problem;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum LiveMessage {
    /// The order as it stands; versions before it may be missing.
    Snapshot {
        /// Which.
        order_id: Uuid,
        /// Its version.
        version: u32,
        /// The view.
        order: Box<OrderView>,
    },
    /// One change.
    Update(Update),
    /// Where the courier is.
    Location {
        /// Of which order.
        order_id: Uuid,
        /// Degrees, WGS 84.
        lat: f64,
        /// Degrees, WGS 84.
        lon: f64,
        /// When.
        at: Timestamp,
    },
    /// A refusal.
    Error {
        /// The order of the refused request.
        #[serde(default)]
        order_id: Option<Uuid>,
        /// Why.
        problem: Box<Problem>,
    },
    /// A kind that is newer than this client.
    #[serde(other)]
    Unknown,
}

/// One change of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Update {
    /// Which order.
    pub order_id: Uuid,
    /// Its version after the change.
    pub version: u32,
    /// The status before; none for the first.
    pub previous_status: Option<Status>,
    /// The status after.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// On whose behalf.
    #[serde(default)]
    pub by: String,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default)]
    pub reason: Option<String>,
    /// The courier that was named with it.
    #[serde(default)]
    pub courier_id: Option<String>,
}

/// A message of the client.
#[derive(Clone, Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ClientMessage {
    /// Follow an order.
    Subscribe {
        /// Which.
        order_id: Uuid,
        /// The last version that the client has; none to begin with the order as it stands.
        since: Option<u32>,
    },
    /// Stop following it.
    Unsubscribe {
        /// Which.
        order_id: Uuid,
    },
}

impl ClientMessage {
    /// Its JSON.
    pub fn text(&self) -> String {
        // Writing ids and numbers to memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
