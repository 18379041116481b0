//! Admission: ractor's mailboxes are unbounded, so a message is counted before it enters one. How a refusal
//! looks on the wire is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::in_flight::InFlightGuard;
use super::settings::Settings;
use crate::model::orders_error::{Full, OrdersError};
use crate::telemetry::names;

/// How long a refused caller should wait: a full replica drains in well under a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts the messages that wait on a replica.
#[derive(Debug)]
pub struct Admission {
    waiting: AtomicU32,
    waiting_bytes: AtomicU64,
    node_max: u32,
    node_bytes_max: u64,
    order_max: u32,
    held_max: u32,
}

/// The right to put one message into a mailbox. It travels with the message and is given back when the
/// message is handled or lost.
#[derive(Debug)]
pub struct Permit {
    _place: BoundShare,
    _in_hand: InFlightGuard,
}

/// One share of the replica's bound and of the bound that `of` counts (an order's or a held shard's).
#[derive(Debug)]
pub struct BoundShare {
    node: Arc<Admission>,
    of: Arc<AtomicU32>,
    bytes: u64,
}

/// The refusal because a bound is reached; counts it.
pub fn refused(full: Full) -> OrdersError {
    metrics::counter!(names::ORDERS_REFUSED, "reason" => full.as_str()).increment(1);
    OrdersError::Overloaded {
        full,
        retry_after: RETRY_AFTER,
    }
}

impl Admission {
    /// With the bounds of `settings`.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicU32::new(0),
            waiting_bytes: AtomicU64::new(0),
            node_max: settings.node_waiting_max,
            node_bytes_max: settings.node_waiting_bytes_max,
            order_max: settings.order_waiting_max,
            held_max: settings.shard_held_max,
        })
    }

    /// Messages admitted and not yet handled.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// How many bytes those messages weigh.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes.load(Ordering::Acquire)
    }

    /// A permit for one more message, which weighs `bytes`, to the order whose count is `order`. The permit
    /// keeps `in_hand`.
    pub fn admit(
        self: &Arc<Self>,
        order: &Arc<AtomicU32>,
        in_hand: InFlightGuard,
        bytes: usize,
    ) -> Result<Permit, OrdersError> {
        Ok(Permit {
            _place: self.place(order, (self.order_max, Full::Order), bytes)?,
            _in_hand: in_hand,
        })
    }

    /// A share for one more request, which weighs `bytes` and waits because its shard is held; `held` counts
    /// that shard's waiting requests.
    pub fn admit_held(
        self: &Arc<Self>,
        held: &Arc<AtomicU32>,
        bytes: usize,
    ) -> Result<BoundShare, OrdersError> {
        self.place(held, (self.held_max, Full::Move), bytes)
    }

    fn place(
        self: &Arc<Self>,
        of: &Arc<AtomicU32>,
        (of_max, of_full): (u32, Full),
        bytes: usize,
    ) -> Result<BoundShare, OrdersError> {
        // All three counts rise at once; a dropped share lowers them again.
        let place = BoundShare {
            node: Arc::clone(self),
            of: Arc::clone(of),
            bytes: bytes as u64,
        };
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let bytes_before = self.waiting_bytes.fetch_add(place.bytes, Ordering::AcqRel);
        let of_before = of.fetch_add(1, Ordering::AcqRel);
        let full = if before >= self.node_max {
            Full::Replica
        } else if bytes_before > self.node_bytes_max.saturating_sub(place.bytes) && bytes_before > 0
        {
            // A message that is alone is let in, however much it weighs.
            Full::Bytes
        } else if of_before >= of_max {
            of_full
        } else {
            return Ok(place);
        };
        Err(refused(full))
    }
}

impl Drop for BoundShare {
    fn drop(&mut self) {
        self.of.fetch_sub(1, Ordering::AcqRel);
        self.node
            .waiting_bytes
            .fetch_sub(self.bytes, Ordering::AcqRel);
        self.node.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::in_flight::InFlightCount;

    fn small() -> Arc<Admission> {
        Admission::new(&Settings {
            node_waiting_max: 3,
            node_waiting_bytes_max: 100,
            order_waiting_max: 2,
            shard_held_max: 1,
            ..Settings::default()
        })
    }

    fn full<T>(refused: Result<T, OrdersError>) -> Full {
        match refused {
            Err(OrdersError::Overloaded { full, .. }) => full,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("let in"),
        }
    }

    #[test]
    fn both_bounds_hold_and_tickets_come_back() {
        let admission = small();
        let hands = Arc::new(InFlightCount::default());
        let admit = |order| admission.admit(order, hands.take(), 0);
        let (one, two) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let first = admit(&one).expect("room");
        let _second = admit(&one).expect("room");
        assert_eq!(full(admit(&one)), Full::Order);
        let _third = admit(&two).expect("room");
        assert_eq!(full(admit(&two)), Full::Replica);
        assert_eq!(hands.count(), 3, "what was refused is not in hand");
        drop(first);
        assert!(admit(&two).is_ok(), "a permit came back");
        assert_eq!(admission.waiting(), 2);
    }

    #[test]
    fn what_waits_for_a_held_shard_is_bounded() {
        let admission = small();
        let held = Arc::new(AtomicU32::new(0));
        let first = admission.admit_held(&held, 0).expect("room");
        assert_eq!(full(admission.admit_held(&held, 0)), Full::Move);
        drop(first);
        assert!(admission.admit_held(&held, 0).is_ok());
    }

    #[test]
    fn what_waits_is_bounded_by_its_weight_too() {
        let admission = small();
        let hands = Arc::new(InFlightCount::default());
        let admit = |bytes| {
            let order = Arc::new(AtomicU32::new(0));
            admission.admit(&order, hands.take(), bytes)
        };
        let first = admit(60).expect("room");
        assert_eq!(full(admit(41)), Full::Bytes);
        assert_eq!(
            admission.waiting_bytes(),
            60,
            "what was refused weighs nothing"
        );
        let second = admit(40).expect("room");
        assert_eq!(full(admit(1)), Full::Bytes);
        drop((first, second));
        assert!(admit(1_000).is_ok(), "alone, it is let in");
        assert_eq!((admission.waiting(), admission.waiting_bytes()), (0, 0));
    }
}
