//! The steps that are measured, as load.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::SmallRng;
use uuid::Uuid;

use super::tracker::Tracker;
use crate::http::Response;
use crate::load::{Timing, Traffic};
use crate::order::put_status;

/// Moves each of the orders to one status.
pub struct Stepping {
    /// The order role.
    pub server: SocketAddr,
    /// One slot each.
    pub orders: Arc<Vec<Uuid>>,
    /// Where they go.
    pub status: &'static str,
    /// Who is told.
    pub tracker: Arc<Tracker>,
}

impl Stepping {
    fn order(&self, slot: u64) -> Uuid {
        self.orders[usize::try_from(slot).unwrap_or(0) % self.orders.len()]
    }
}

impl Traffic for Stepping {
    fn request(&self, slot: u64, _rng: &mut SmallRng, request: &mut Vec<u8>) {
        let order = self.order(slot);
        request.extend_from_slice(&put_status(self.server, order, self.status));
        self.tracker.sent(order);
    }

    fn answered(&self, slot: u64, timing: Timing, _response: &Response<'_>) {
        self.tracker.answered(self.order(slot), timing.answered);
    }
}
