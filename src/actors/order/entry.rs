//! What others may know of a live order without asking its actor. Only the actor writes here.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arc_swap::ArcSwapOption;
use trackops_domain::order::Order;

use crate::actors::recency::RecencyEntry;
use crate::actors::tenure::Tenure;
use crate::model::position::Position;

/// A live order, as its actor shows it.
pub struct Entry {
    /// The tenure in which the actor was started.
    pub tenure: Tenure,
    /// The last committed state; `None` until loaded, or if there is no such order.
    pub order: ArcSwapOption<Order>,
    /// The courier's last position.
    pub position: ArcSwapOption<Position>,
    /// Messages admitted and not yet handled.
    pub waiting: Arc<AtomicU32>,
    /// The order's entry among the live orders by last work.
    pub place: RecencyEntry,
}

impl Entry {
    /// The entry of an order that is not loaded yet.
    pub fn new(tenure: Tenure, place: RecencyEntry) -> Self {
        Self {
            tenure,
            order: ArcSwapOption::empty(),
            position: ArcSwapOption::empty(),
            waiting: Arc::new(AtomicU32::new(0)),
            place,
        }
    }
}
