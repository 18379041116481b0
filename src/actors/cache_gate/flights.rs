//! Single flight: readers who want the same order at the same time wait for one read. A flight that a write
//! has overtaken takes nobody else on board. What is read, and how, is the caller's.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::OnceCell;
use trackops_domain::ids::OrderId;

use crate::ports::cache::CacheEntry;

/// A load failed; shared by all who waited for it. The loader's own error is inside.
#[derive(Clone, Debug, Error)]
#[error("the order could not be loaded")]
pub struct LoadError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

/// The flights by order. As many as there are readers at once, which admission bounds.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<OrderId, Arc<Flight>>>);

struct Flight {
    order: OrderId,
    /// Known when it set off.
    generation: Option<i64>,
    overtaken: AtomicBool,
    outcome: OnceCell<Result<Option<CacheEntry>, LoadError>>,
}

/// A place on a flight. The last one to leave, or the first one after it has landed, clears it away.
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
            // It set off before the shard was claimed, or its generation raised.
            flight.overtaken.store(true, Ordering::SeqCst);
            *flight = begin();
        }
        Seat {
            flights: self,
            flight: Arc::clone(flight),
        }
    }

    /// The orders have changed: who comes from now on needs a new flight.
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
    /// The generation known when the flight set off.
    pub(super) fn generation(&self) -> Option<i64> {
        self.flight.generation
    }

    /// No write has overtaken it so far.
    pub(super) fn is_current(&self) -> bool {
        !self.flight.overtaken.load(Ordering::SeqCst)
    }

    /// The outcome: of `read`, if nobody else on board is reading. If the one who reads goes away,
    /// the next one reads.
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
        // Two: the list's and this one. Nobody can board while the list is locked.
        let last = Arc::strong_count(&self.flight) == 2;
        if Arc::ptr_eq(listed, &self.flight) && (last || self.flight.outcome.initialized()) {
            flights.remove(&self.flight.order);
        }
    }
}

#[cfg(test)]
impl Flights {
    /// Nothing is left behind.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
