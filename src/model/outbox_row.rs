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
    /// Where to.
    pub topic: Topic,
    /// The order's version that it tells of; part of the key that orders an order's messages.
    pub version: u32,
    /// Its place among the messages of that version.
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
    /// No other row of the outbox has it, in whatever lane. Rises with insertion, may have gaps and may
    /// become visible out of order.
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
