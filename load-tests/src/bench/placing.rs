//! Orders that later parts of a benchmark go on with.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use rand::rngs::SmallRng;
use uuid::Uuid;

use crate::http::Response;
use crate::load::{Timing, Traffic};
use crate::order::{PlaceOrders, placed_id};

/// Places orders and keeps their ids.
pub struct Placing {
    orders: PlaceOrders,
    ids: Mutex<Vec<Uuid>>,
}

impl Placing {
    /// Orders for `server`.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            orders: PlaceOrders::new(server),
            ids: Mutex::default(),
        }
    }

    /// The ids so far.
    pub fn orders(&self) -> Vec<Uuid> {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Traffic for Placing {
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>) {
        self.orders.request(slot, rng, request);
    }

    fn answered(&self, _slot: u64, _timing: Timing, response: &Response<'_>) {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(placed_id(response));
    }
}
