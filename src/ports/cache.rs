//! The cache of order views: a shortcut for reads, never the truth, never in the way.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::time::Timestamp;

use super::journal::BoxError;

/// A cached view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Whose.
    pub order: OrderId,
    /// The order's version that it shows.
    pub version: Version,
    /// The shard's cache generation under which it was written.
    pub generation: i64,
    /// It shows a final status: kept for a shorter time.
    pub is_final: bool,
    /// The view's JSON.
    pub view: Bytes,
}

/// A courier's position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Latitude, degrees WGS 84.
    pub lat: f64,
    /// Longitude, degrees WGS 84.
    pub lon: f64,
    /// When it was measured or arrived.
    pub at: Timestamp,
}

/// The cache failed or was too slow. Never fails a command.
#[derive(Debug, Error)]
#[error("the cache is away")]
pub struct CacheError(#[source] pub BoxError);

/// The cache.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Stores entries in one pipeline. Each is stored unless what is there has the same or a higher
    /// generation AND a higher version (an older generation is always replaced, a newer one never).
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError>;

    /// Reads entries, in the order of `orders`.
    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError>;

    /// Keeps the last position of an order's courier (GEO index and time), for an hour.
    async fn put_position(&self, order: OrderId, position: Position) -> Result<(), CacheError>;

    /// The last position.
    async fn position(&self, order: OrderId) -> Result<Option<Position>, CacheError>;

    /// Forgets the position of a finished order.
    async fn drop_position(&self, order: OrderId) -> Result<(), CacheError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), CacheError>;

    /// Counts the connections made so far: rises before the first answer that comes over a new one.
    /// What was stored over an older one may be gone or replaced by something older (a restart from
    /// a snapshot, a failover). Always 0 where nothing can be lost that way.
    fn session(&self) -> u64 {
        0
    }

    /// Only one process may use it (in-process memory).
    fn is_local(&self) -> bool;
}
