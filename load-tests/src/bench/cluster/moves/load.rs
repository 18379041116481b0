//! Commands at a constant rate while shards move, until told to end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::seen::{Command, Phase, Sample, Seen, Summaries};
use crate::http::Connection;
use crate::load::{Schedule, Traffic as _};
use crate::order::{self, PlaceOrders, placed_id};

/// Connections to each server: at 400 commands a second all are taken only if each takes 160 ms, and
/// then what is due waits, and is measured as late.
const CONNECTIONS: usize = 32;
/// The load ends by itself after so long: a cycle takes a tenth of it.
const SECONDS_MAX: u64 = 300;
/// Of so many commands one places an order.
const PLACE_EACH: u64 = 4;

/// A load under way.
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    schedule: Schedule,
    /// Pending orders, the next to be cancelled first.
    pending: Mutex<VecDeque<Uuid>>,
    seen: Mutex<Seen>,
}

impl Load {
    /// Commands to `servers`; `orders` are cancelled before those that the load itself places.
    pub fn start(servers: &[SocketAddr], rate: u32, orders: Vec<Uuid>) -> Self {
        let slots = u64::from(rate) * SECONDS_MAX;
        let shared = Arc::new(Shared {
            schedule: Schedule::new(Instant::now(), rate, slots),
            pending: Mutex::new(orders.into()),
            seen: Mutex::default(),
        });
        let mut senders = JoinSet::new();
        for server in servers {
            let orders = Arc::new(PlaceOrders::new(*server));
            for _ in 0..CONNECTIONS {
                senders.spawn(send(Arc::clone(&shared), *server, Arc::clone(&orders)));
            }
        }
        Self { shared, senders }
    }

    /// Shards moved between these moments.
    pub fn moved(&self, phase: Phase, from: Instant, to: Instant) {
        lock(&self.shared.seen).moved(phase, from, to);
    }

    /// Latencies so far.
    pub fn summaries(&self) -> Summaries {
        lock(&self.shared.seen).summaries()
    }

    /// Sends no more, waits for the last answers and adds everything to `all`.
    pub async fn end(mut self, all: &mut Seen) -> Result<()> {
        self.shared.schedule.close();
        while let Some(ended) = self.senders.join_next().await {
            ended.context("a sender ended by a panic")?;
        }
        all.add(std::mem::take(&mut *lock(&self.shared.seen)));
        Ok(())
    }
}

async fn send(shared: Arc<Shared>, server: SocketAddr, orders: Arc<PlaceOrders>) {
    let mut connection = Connection::new(server);
    let mut rng = SmallRng::seed_from_u64(rand::random());
    let mut request = Vec::new();
    while let Some(slot) = shared.schedule.take() {
        tokio::time::sleep_until(slot.due.into()).await;
        request.clear();
        let command = shared.next(slot.number);
        match command {
            Command::Place => orders.request(slot.number, &mut rng, &mut request),
            Command::Cancel(order) => request.extend(order::cancel(server, order)),
        }
        let answer = connection.call(&request).await;
        let sample = Sample {
            due: slot.due,
            answered: Instant::now(),
        };
        if let Ok(response) = &answer {
            lock(&shared.pending).extend(placed_id(response));
        }
        lock(&shared.seen).count(command, sample, &answer);
    }
}

impl Shared {
    fn next(&self, slot: u64) -> Command {
        if slot.is_multiple_of(PLACE_EACH) {
            return Command::Place;
        }
        let pending = lock(&self.pending).pop_front();
        pending.map_or(Command::Place, Command::Cancel)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_places_and_the_rest_cancels_what_is_pending() {
        let order = Uuid::from_u128(7);
        let shared = Shared {
            schedule: Schedule::new(Instant::now(), 1, 8),
            pending: Mutex::new(VecDeque::from([order])),
            seen: Mutex::default(),
        };
        assert!(matches!(shared.next(0), Command::Place));
        assert!(matches!(shared.next(1), Command::Cancel(next) if next == order));
        // Nothing is left to be cancelled.
        assert!(matches!(shared.next(2), Command::Place));
    }
}
