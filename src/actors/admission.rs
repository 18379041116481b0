//! Admission: ractor's mailboxes are unbounded, so what may enter one is counted before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::ports::orders::OrdersError;

/// After so long a refused caller should come again: a full replica drains in well under a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The count of a replica.
#[derive(Debug)]
pub struct Admission {
    waiting: AtomicU32,
    node_max: u32,
    order_max: u32,
}

/// A place in a mailbox. Travels with the message; given back when the message is done with or lost.
#[derive(Debug)]
pub struct Ticket {
    node: Arc<Admission>,
    order: Arc<AtomicU32>,
}

impl Admission {
    /// With these bounds.
    pub fn new(node_max: u32, order_max: u32) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicU32::new(0),
            node_max,
            order_max,
        })
    }

    /// Commands admitted and not yet done with.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// A place for one more message to the order whose count is `order`.
    pub fn admit(self: &Arc<Self>, order: &Arc<AtomicU32>) -> Result<Ticket, OrdersError> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.node_max {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(OrdersError::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        if order.fetch_add(1, Ordering::AcqRel) >= self.order_max {
            order.fetch_sub(1, Ordering::AcqRel);
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(OrdersError::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        Ok(Ticket {
            node: Arc::clone(self),
            order: Arc::clone(order),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.order.fetch_sub(1, Ordering::AcqRel);
        self.node.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_tickets_come_back() {
        let admission = Admission::new(3, 2);
        let (one, two) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let first = admission.admit(&one).expect("room");
        let _second = admission.admit(&one).expect("room");
        assert!(admission.admit(&one).is_err(), "the order is full");
        let _third = admission.admit(&two).expect("room");
        assert!(admission.admit(&two).is_err(), "the replica is full");
        drop(first);
        assert!(admission.admit(&two).is_ok(), "a ticket came back");
        assert_eq!(admission.waiting(), 2);
    }
}
