//! The cache port in this process' memory, for a single replica. Leaves it to the configuration to refuse
//! this cache where several replicas may run.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Memory;
use trackops_domain::ids::OrderId;

use crate::model::position::Position;
use crate::ports::cache::{Cache, CacheEntry, CacheError};

/// Bytes of views held: some fifty thousand orders.
const VIEWS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of an entry besides its view: key, header and the map's own nodes.
const ENTRY_BYTES: usize = 256;
/// Couriers whose last position is held.
const POSITIONS_MAX: u64 = 100_000;
/// How long a position is kept after the last ping of its courier.
const TTL_POSITION: Duration = Duration::from_hours(1);

/// Views and positions in memory. They are lost when the process ends.
#[derive(Clone, Debug)]
pub struct MemoryCache {
    views: Memory<OrderId, CacheEntry>,
    positions: Memory<OrderId, Position>,
}

impl MemoryCache {
    /// An empty cache with the usual bounds.
    pub fn new() -> Self {
        Self {
            // The least recently used entry is removed first. The library's own policy may refuse a new entry
            // in favour of an old one, and a late load could then replace a newer write.
            views: Memory::builder()
                .max_capacity(VIEWS_BYTES_MAX)
                .weigher(|_, entry: &CacheEntry| {
                    u32::try_from(entry.view.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(ByEntry)
                .build(),
            positions: Memory::builder()
                .max_capacity(POSITIONS_MAX)
                .time_to_live(TTL_POSITION)
                .build(),
        }
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError> {
        for entry in entries {
            self.views.entry(entry.order).and_compute_with(|there| {
                let newer = there.is_some_and(|there| {
                    let there = there.value();
                    (there.generation, there.version) > (entry.generation, entry.version)
                });
                if newer {
                    Op::Nop
                } else {
                    Op::Put(entry.clone())
                }
            });
        }
        Ok(())
    }

    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError> {
        Ok(orders.iter().map(|order| self.views.get(order)).collect())
    }

    async fn put_position(&self, order: OrderId, position: Position) -> Result<(), CacheError> {
        self.positions.entry(order).and_compute_with(|there| {
            let there = there.map(|there| *there.value());
            if position.replaces(there) {
                Op::Put(position)
            } else {
                Op::Nop
            }
        });
        Ok(())
    }

    async fn position(&self, order: OrderId) -> Result<Option<Position>, CacheError> {
        Ok(self.positions.get(&order))
    }

    async fn drop_position(&self, order: OrderId) -> Result<(), CacheError> {
        self.positions.invalidate(&order);
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

/// Expires an entry after its own time to live, counted from each write.
#[derive(Debug)]
struct ByEntry;

impl Expiry<OrderId, CacheEntry> for ByEntry {
    fn expire_after_create(&self, _: &OrderId, entry: &CacheEntry, _: Instant) -> Option<Duration> {
        Some(entry.ttl())
    }

    fn expire_after_update(
        &self,
        _: &OrderId,
        entry: &CacheEntry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl())
    }
}

#[cfg(test)]
mod tests {
    use trackops_domain::ids::Version;

    use super::*;

    #[test]
    fn what_was_written_together_does_not_expire_together() {
        let expiry = |last_byte: u8| {
            let entry = CacheEntry {
                order: OrderId(uuid::Uuid::from_u128(last_byte.into())),
                version: Version::FIRST,
                generation: 1,
                is_final: true,
                view: bytes::Bytes::new(),
            };
            let now = Instant::now();
            let created = ByEntry.expire_after_create(&entry.order, &entry, now);
            let updated = ByEntry.expire_after_update(&entry.order, &entry, now, None);
            assert_eq!(created, updated);
            created.expect("everything expires")
        };
        assert!(expiry(0) < expiry(100) && expiry(100) < expiry(255));
    }
}
