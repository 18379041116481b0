//! The cache port in this process' memory, for one replica that runs alone. Leaves to the
//! configuration to refuse it where more than one may run.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Memory;
use trackops_domain::ids::OrderId;

use crate::ports::cache::{Cache, CacheEntry, CacheError, Position};

/// Bytes of views held: some fifty thousand orders.
const VIEWS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What an entry weighs beside its view: key, header and the map's own nodes.
const ENTRY_BYTES: usize = 256;
/// Couriers whose last position is held.
const POSITIONS_MAX: u64 = 100_000;
/// Longer than any order lives.
const TTL_LIVE: Duration = Duration::from_hours(24);
/// People look at a finished order for a while, then rarely.
const TTL_FINAL: Duration = Duration::from_hours(1);
/// After the last ping of its courier.
const TTL_POSITION: Duration = Duration::from_hours(1);

/// Views and positions in memory. Forgotten with the process.
#[derive(Clone, Debug)]
pub struct MemoryCache {
    views: Memory<OrderId, CacheEntry>,
    positions: Memory<OrderId, Position>,
}

impl MemoryCache {
    /// An empty cache with the usual bounds.
    pub fn new() -> Self {
        Self {
            // Least recently used goes first. The library's own policy may refuse a new entry in
            // favour of an old one, so that a late load could take the place of a newer write.
            views: Memory::builder()
                .max_capacity(VIEWS_BYTES_MAX)
                .weigher(|_, entry: &CacheEntry| {
                    u32::try_from(entry.view.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(ByStatus)
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
        self.positions.insert(order, position);
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

    fn is_local(&self) -> bool {
        true
    }
}

/// Final orders are kept for a shorter time, counted from each write.
#[derive(Debug)]
struct ByStatus;

impl Expiry<OrderId, CacheEntry> for ByStatus {
    fn expire_after_create(&self, _: &OrderId, entry: &CacheEntry, _: Instant) -> Option<Duration> {
        Some(ttl(entry))
    }

    fn expire_after_update(
        &self,
        _: &OrderId,
        entry: &CacheEntry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(ttl(entry))
    }
}

fn ttl(entry: &CacheEntry) -> Duration {
    if entry.is_final { TTL_FINAL } else { TTL_LIVE }
}
