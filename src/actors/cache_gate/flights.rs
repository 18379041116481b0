//! Single flight: readers who want the same order at the same time wait for one read. No reader joins a
//! flight that a write has overtaken. The caller says what is read, and how.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::OnceCell;
use trackops_domain::ids::OrderId;

use crate::ports::cache::CacheEntry;

/// A load failed. All who waited for it share this error; the loader's own error is inside.
#[derive(Clone, Debug, Error)]
#[error("the order could not be loaded")]
pub struct LoadError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

/// The flights by order. There are at most as many as there are readers at once, which admission bounds.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<OrderId, Arc<Flight>>>);

struct Flight {
    order: OrderId,
    /// The shard's generation when the flight began.
    generation: Option<i64>,
    overtaken: AtomicBool,
    outcome: OnceCell<Result<Option<CacheEntry>, LoadError>>,
}

/// One reader on a flight. The flight is removed by the last reader to leave, or by the first to leave after
/// it has ended.
pub(super) struct Seat<'a> {
    flights: &'a Flights,
    flight: Arc<Flight>,
}

impl Flights {
    /// Joins the flight of `order`, or begins one under `generation`.
    pub(super) fn board(&self, order: OrderId, generation: Option<i64>) -> Seat<'_> {
        let begin = || {
            Arc::new(Flight {
                order,
                generation,
                overtaken: AtomicBool::new(false),
                outcome: OnceCell::new(),
            })
        };
        let mut flights = self.0.lock();
        let flight = flights.entry(order).or_insert_with(begin);
        if flight.generation != generation {
            // The flight began before the shard was claimed or its generation was raised.
            flight.overtaken.store(true, Ordering::SeqCst);
            *flight = begin();
        }
        Seat {
            flights: self,
            flight: Arc::clone(flight),
        }
    }

    /// The orders have changed: a reader that comes from now on needs a new flight.
    pub(super) fn forget(&self, orders: impl Iterator<Item = OrderId>) {
        let mut flights = self.0.lock();
        if flights.is_empty() {
            return;
        }
        for order in orders {
            if let Some(flight) = flights.remove(&order) {
                flight.overtaken.store(true, Ordering::SeqCst);
            }
        }
    }
}

impl Seat<'_> {
    /// The generation known when the flight began.
    pub(super) fn generation(&self) -> Option<i64> {
        self.flight.generation
    }

    /// Whether no write has overtaken the flight so far.
    pub(super) fn is_current(&self) -> bool {
        !self.flight.overtaken.load(Ordering::SeqCst)
    }

    /// The outcome of the flight. Runs `read` if no other reader of the flight is reading; if that reader
    /// goes away, the next one reads.
    pub(super) async fn result(
        &self,
        read: impl Future<Output = Result<Option<CacheEntry>, LoadError>>,
    ) -> Result<Option<CacheEntry>, LoadError> {
        self.flight.outcome.get_or_init(|| read).await.clone()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        let Some(listed) = flights.get(&self.flight.order) else {
            return;
        };
        // Two references: the list's and this one. Nobody can join while the list is locked.
        let last = Arc::strong_count(&self.flight) == 2;
        if Arc::ptr_eq(listed, &self.flight) && (last || self.flight.outcome.initialized()) {
            flights.remove(&self.flight.order);
        }
    }
}

#[cfg(test)]
impl Flights {
    /// Whether no flight is left behind.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
