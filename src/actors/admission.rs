//! Admission: ractor's mailboxes are unbounded, so what may enter one is counted before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ports::orders::OrdersError;

/// After so long a refused caller should come again: a full replica drains in well under a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The count of a replica.
#[derive(Debug)]
pub struct Admission {
    waiting: AtomicU32,
    node_max: u32,
    order_max: u32,
    held_max: u32,
}

/// A place in a mailbox. Travels with the message; given back when the message is done with or lost.
#[derive(Debug)]
pub struct Ticket {
    _place: Place,
    _in_hand: InHand,
}

/// A place that is counted for the replica and for whatever else `of` counts.
#[derive(Debug)]
pub struct Place {
    node: Arc<Admission>,
    of: Arc<AtomicU32>,
}

/// What is in hand of one shard: requests that have found it open and are not done with.
#[derive(Debug, Default)]
pub struct Hands {
    count: AtomicU32,
    /// Somebody waits for the last one.
    awaited: AtomicBool,
    last: Notify,
}

/// One request in hand of a shard.
#[derive(Debug)]
pub struct InHand(Arc<Hands>);

impl Admission {
    /// With these bounds.
    pub fn new(node_max: u32, order_max: u32, held_max: u32) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicU32::new(0),
            node_max,
            order_max,
            held_max,
        })
    }

    /// Commands admitted and not yet done with.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// A place for one more message to the order whose count is `order`. `in_hand` goes with it.
    pub fn admit(
        self: &Arc<Self>,
        order: &Arc<AtomicU32>,
        in_hand: InHand,
    ) -> Result<Ticket, OrdersError> {
        Ok(Ticket {
            _place: self.place(order, self.order_max)?,
            _in_hand: in_hand,
        })
    }

    /// A place for one more request that waits because the shard whose count is `held` is held.
    pub fn admit_held(self: &Arc<Self>, held: &Arc<AtomicU32>) -> Result<Place, OrdersError> {
        self.place(held, self.held_max)
    }

    fn place(self: &Arc<Self>, of: &Arc<AtomicU32>, of_max: u32) -> Result<Place, OrdersError> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.node_max {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(OrdersError::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        if of.fetch_add(1, Ordering::AcqRel) >= of_max {
            of.fetch_sub(1, Ordering::AcqRel);
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(OrdersError::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        Ok(Place {
            node: Arc::clone(self),
            of: Arc::clone(of),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.fetch_sub(1, Ordering::AcqRel);
        self.node.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Hands {
    /// One more. To be taken before the shard's standing is looked at: then either the look sees that
    /// the shard is held, or whoever holds it sees this.
    pub fn take(self: &Arc<Self>) -> InHand {
        self.count.fetch_add(1, Ordering::SeqCst);
        InHand(Arc::clone(self))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until there are none. For one caller at a time.
    pub async fn empty(&self) {
        self.awaited.store(true, Ordering::SeqCst);
        while self.count() > 0 {
            // The last one leaves its signal behind, so one that goes after the look isn't missed.
            self.last.notified().await;
        }
        self.awaited.store(false, Ordering::SeqCst);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.awaited.load(Ordering::SeqCst)
        {
            self.0.last.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_tickets_come_back() {
        let admission = Admission::new(3, 2, 1);
        let hands = Arc::new(Hands::default());
        let admit = |order| admission.admit(order, hands.take());
        let (one, two) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let first = admit(&one).expect("room");
        let _second = admit(&one).expect("room");
        assert!(admit(&one).is_err(), "the order is full");
        let _third = admit(&two).expect("room");
        assert!(admit(&two).is_err(), "the replica is full");
        assert_eq!(hands.count(), 3, "what was refused is not in hand");
        drop(first);
        assert!(admit(&two).is_ok(), "a ticket came back");
        assert_eq!(admission.waiting(), 2);
    }

    #[test]
    fn what_waits_for_a_held_shard_is_bounded() {
        let admission = Admission::new(3, 2, 1);
        let held = Arc::new(AtomicU32::new(0));
        let first = admission.admit_held(&held).expect("room");
        assert!(admission.admit_held(&held).is_err(), "the bound");
        drop(first);
        assert!(admission.admit_held(&held).is_ok());
    }

    #[tokio::test]
    async fn a_shard_is_empty_when_the_last_one_is_done() {
        let hands = Arc::new(Hands::default());
        let (one, two) = (hands.take(), hands.take());
        let mut empty = std::pin::pin!(hands.empty());
        assert!(futures_util::poll!(empty.as_mut()).is_pending());
        drop(one);
        assert!(futures_util::poll!(empty.as_mut()).is_pending());
        drop(two);
        assert!(futures_util::poll!(empty.as_mut()).is_ready());
    }
}
