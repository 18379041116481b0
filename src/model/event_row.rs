//! An order's event as the journal keeps it. `codec::stored` makes it and reads it.

use std::sync::Arc;

use bytes::Bytes;
use trackops_cluster::Epoch;
use trackops_domain::ids::{CommandId, Version};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

/// A stored event.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its version.
    pub version: Version,
    /// The epoch under which it was written. Stored with the event; an append is checked against the
    /// epoch of its row.
    pub epoch: Epoch,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Arc<str>,
    /// By which command.
    pub command: CommandId,
    /// The status it led to.
    pub status: Status,
    /// Stored form of the rest, JSON: `codec::stored::change`. `None` where there is nothing more.
    pub data: Option<Bytes>,
}
