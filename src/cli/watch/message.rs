//! Live messages as a client reads them. Unknown kinds are ignored: a newer server may have more.

use serde::Deserialize;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::cli::problem::Problem;
use crate::codec::rfc3339;

/// A message of the server.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ServerMessage {
    /// The order as it stands; versions before it may be missing.
    Snapshot {
        /// Which.
        order_id: Uuid,
        /// Its version.
        version: u32,
        /// The view.
        order: Shown,
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
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
    /// A refusal.
    Error {
        /// The order of the refused request.
        #[serde(default)]
        order_id: Option<Uuid>,
        /// Why.
        problem: Problem,
    },
    /// A kind that is newer than this client.
    #[serde(other)]
    Unknown,
}

/// One change of an order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// Which order.
    pub order_id: Uuid,
    /// Its version after the change.
    pub version: u32,
    /// The status before; null for the first.
    pub previous_status: Option<String>,
    /// The status after.
    pub status: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// On whose behalf.
    #[serde(default)]
    pub by: String,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The fields of a view that a line shows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The order's status.
    pub status: String,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default)]
    pub reason: Option<String>,
}
