//! The outbox: what is to be published, written with what it tells of, taken away after the
//! broker's acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;

use super::journal::BoxError;
use crate::codec::topics::Topic;

/// How many lanes an outbox has: the unit of work that relays share by lease. An order's rows are
/// all in the lane `shard % LANES` (inventory: of the order's hash), so one relay sees them in order.
/// The tables of PostgreSQL have their own eight (`0001_outbox.sql`); the contract suite compares.
pub const LANES: u16 = 8;

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

/// A row as the relay sees it.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// Finds the row; rises with insertion, may have gaps and may become visible out of order.
    pub seq: i64,
    /// The order: the message's key and subject.
    pub order: OrderId,
    /// The message.
    pub row: OutboxRow,
}

/// The outbox failed.
#[derive(Debug, Error)]
#[error("the outbox is away")]
pub struct OutboxError(#[source] pub BoxError);

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Rows.
    pub pending: u64,
    /// Age of the oldest.
    pub oldest_age: Option<Duration>,
}

/// One database's outbox, as the relay uses it.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Whose it is: `orders` or `inventory`. For logs, metrics and the `source` attribute.
    fn name(&self) -> &'static str;

    /// Takes or renews leases of lanes for `holder` for `ttl` by the store's clock: keeps those that
    /// it holds, takes free or expired ones up to its fair share among the live holders (all, when it
    /// is alone), gives back what is over its share. Returns the lanes held now.
    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError>;

    /// Gives up every lane of `holder` at once, for a clean stop.
    async fn release(&self, holder: &str) -> Result<(), OutboxError>;

    /// The oldest rows of `lane` by `seq`, at most `limit`.
    async fn fetch(&self, lane: u16, limit: u32) -> Result<Vec<OutboxEntry>, OutboxError>;

    /// Removes rows that the broker has acknowledged.
    async fn acknowledge(&self, seqs: &[i64]) -> Result<(), OutboxError>;

    /// Returns when there may be work: a notification, or `timeout` at the latest. Signals sent
    /// since the last call are not missed.
    async fn wait(&self, timeout: Duration);

    /// How much waits.
    async fn stats(&self) -> Result<OutboxStats, OutboxError>;
}
