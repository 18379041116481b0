//! A message that waits in the outbox.

use std::sync::Arc;

use bytes::Bytes;
use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;

use super::topic::Topic;

/// A message to be published, as written by an append.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// `CloudEvents` id, the same when sent again.
    pub id: MessageId,
    /// The topic to publish to.
    pub topic: Topic,
    /// The order's version that the message is about. Part of the sort key of an order's messages.
    pub version: u32,
    /// Its position among the messages of that version.
    pub ordinal: u16,
    /// `CloudEvents` time.
    pub at: Timestamp,
    /// JSON.
    pub payload: Bytes,
    /// W3C trace context of the request that caused it.
    pub traceparent: Option<Arc<str>>,
}

/// Finds a row in its outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The row's lane.
    pub lane: u16,
    /// Unique in the outbox, across all lanes. It rises with insertion, may have gaps, and may become
    /// visible out of order.
    pub seq: i64,
}

/// A row as the relay sees it.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// Finds the row.
    pub row_id: RowId,
    /// The order: the message's key and subject.
    pub order: OrderId,
    /// The message.
    pub row: OutboxRow,
}
