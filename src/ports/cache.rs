//! The port to the cache of order views. It is a shortcut for reads: it is never the source of truth, and
//! its failures never fail a request.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use trackops_domain::ids::{OrderId, Version};

use super::journal::BoxError;
use crate::model::position::Position;

/// A cached view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The order.
    pub order: OrderId,
    /// The order's version in the view.
    pub version: Version,
    /// The shard's cache generation under which it was written.
    pub generation: i64,
    /// Whether its status is final; such a view is kept for a shorter time.
    pub is_final: bool,
    /// The view's JSON.
    pub view: Bytes,
}

/// How long the view of a live order is kept: longer than any order lives.
const TTL_LIVE: Duration = Duration::from_hours(24);
/// How long a final order's view is kept: people look at it for a while, then rarely.
const TTL_FINAL: Duration = Duration::from_hours(1);

impl CacheEntry {
    /// How long to keep it, in whole seconds. Spread by ±10 % by the order's id, so that entries written
    /// together don't expire together.
    pub fn ttl(&self) -> Duration {
        let base = if self.is_final { TTL_FINAL } else { TTL_LIVE }.as_secs();
        // The last bytes of an id are random (v7) or a hash (v5).
        let spread = u64::from(self.order.0.as_bytes()[15]);
        Duration::from_secs(base * 9 / 10 + base * spread / (5 * 255))
    }
}

/// The cache failed or was too slow. Never fails a command.
#[derive(Debug, Error)]
#[error("the cache is away")]
pub struct CacheError(#[source] pub BoxError);

/// The cache.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Stores entries in one pipeline. An entry is stored unless the present one has the same or a higher
    /// generation AND a higher version (an older generation is always replaced, a newer one never).
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError>;

    /// Reads entries, in the order of `orders`.
    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError>;

    /// Stores the position of an order's courier (GEO index and time) for an hour, unless a newer
    /// measurement is there: see [`Position::replaces`].
    async fn put_position(&self, order: OrderId, position: Position) -> Result<(), CacheError>;

    /// The last position.
    async fn position(&self, order: OrderId) -> Result<Option<Position>, CacheError>;

    /// Forgets the position of a finished order.
    async fn drop_position(&self, order: OrderId) -> Result<(), CacheError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), CacheError>;

    /// Counts the connections made so far. It rises before the first answer that comes over a new one.
    /// Entries stored over an older connection may be gone or replaced by older ones (a restart from a
    /// snapshot, a failover). Always 0 where nothing can be lost that way.
    fn session(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_a_tenth_either_way() {
        let ttl = |last_byte: u8, is_final: bool| {
            let mut id = [7; 16];
            id[15] = last_byte;
            let entry = CacheEntry {
                order: OrderId(uuid::Uuid::from_bytes(id)),
                version: Version::FIRST,
                generation: 1,
                is_final,
                view: Bytes::new(),
            };
            entry.ttl()
        };
        for (is_final, base) in [(false, TTL_LIVE), (true, TTL_FINAL)] {
            assert_eq!(ttl(0, is_final), base * 9 / 10);
            assert_eq!(ttl(255, is_final), base * 11 / 10);
        }
    }
}
