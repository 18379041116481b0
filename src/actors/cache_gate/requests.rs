//! What all requests to the cache share: the bounded write, the form of an entry, and the count by outcome.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::timeout;
use trackops_domain::order::Order;

use super::gate::CacheGate;
use crate::codec::view;
use crate::ports::cache::CacheEntry;
use crate::telemetry::names::CACHE_REQUESTS;

impl CacheGate {
    /// One bounded write; a failure opens the breaker. Returns whether it succeeded.
    pub(super) async fn put(&self, batch: &[CacheEntry]) -> bool {
        match timeout(self.settings.write_limit, self.cache.put(batch)).await {
            Ok(Ok(())) => {
                self.failures.store(0, Ordering::SeqCst);
                return true;
            }
            Ok(Err(error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                self.trip(source.as_deref().unwrap_or("a write failed"));
            }
            Err(_) => self.trip("a write was too slow"),
        }
        false
    }
}

/// The cache entry of `order`.
pub(super) fn entry_of(order: &Order, generation: i64) -> CacheEntry {
    entry_from(order, view::render(order), generation)
}

/// The cache entry of `order`, whose rendered view is `view`.
pub(super) fn entry_from(order: &Order, view: Bytes, generation: i64) -> CacheEntry {
    CacheEntry {
        order: order.id,
        version: order.version(),
        generation,
        is_final: order.status().is_final(),
        view,
    }
}

/// Counts entries that were asked for or written with this `outcome`.
pub(super) fn count(outcome: &'static str, entries: usize) {
    if entries > 0 {
        metrics::counter!(CACHE_REQUESTS, "outcome" => outcome).increment(entries as u64);
    }
}
