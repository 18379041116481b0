//! The live orders, sorted by their last work: a caller that needs room finds the order that has been idle
//! longest without a walk. There are two lists, because finished orders may go sooner: only late readers want
//! them. The weight of all live orders is added up here too.
//!
//! Whether an order may be ended is decided elsewhere, under its slot's lock. Nobody takes another lock while
//! holding the one in here.

mod lists;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use trackops_domain::ids::OrderId;

use self::lists::Lists;
pub use self::lists::Rank;

/// Tenths of a second. This is fine enough to tell which orders are idle for long, and most orders are placed
/// and answered within one tick.
const TICK_MS: u128 = 100;

/// The live orders by last work; see the module.
#[derive(Debug)]
pub struct Recency {
    lists: Mutex<Lists>,
    /// How many bytes the orders weigh together.
    bytes: AtomicU64,
    started: Instant,
    /// An order that is idle for so many ticks goes; by rank.
    limits: [u32; 2],
}

/// An order's entry in the lists, for as long as its actor or anybody else holds it.
#[derive(Debug)]
pub struct RecencyEntry {
    recency: Arc<Recency>,
    element: u32,
    /// Tick and rank of the last touch. A touch that changes neither needs no lock.
    touched: AtomicU64,
    bytes: AtomicU32,
}

impl Recency {
    /// Limits by rank: an order that is idle for longer than its limit is due.
    pub fn new(live_for: Duration, final_for: Duration) -> Arc<Self> {
        Arc::new(Self {
            lists: Mutex::default(),
            bytes: AtomicU64::new(0),
            started: Instant::now(),
            limits: [live_for, final_for].map(|limit| ticks(limit).max(1)),
        })
    }

    /// Adds `order` at the end of its list.
    pub fn enter(self: &Arc<Self>, order: OrderId) -> RecencyEntry {
        let (tick, rank) = (self.tick(), Rank::Live);
        let mut lists = self.lists.lock();
        let element = lists.insert(order);
        lists.append(element, tick, rank);
        RecencyEntry {
            recency: Arc::clone(self),
            element,
            touched: AtomicU64::new(pack(tick, rank)),
            bytes: AtomicU32::new(0),
        }
    }

    /// Takes out the order that has used up the largest share of its limit; with `only_due`, only if it has
    /// used up all of it. The caller ends the order or puts it back ([`RecencyEntry::put_back`]).
    pub fn take_idlest(&self, only_due: bool) -> Option<OrderId> {
        let now = self.tick();
        let mut lists = self.lists.lock();
        let share = |rank: Rank| {
            let idle = f64::from(now.saturating_sub(lists.first_tick(rank)?));
            Some(idle / f64::from(self.limits[rank as usize]))
        };
        let (of_final, of_live) = (share(Rank::Final), share(Rank::Live));
        let (rank, share) = match (of_final, of_live) {
            (Some(one), Some(other)) if other > one => (Rank::Live, other),
            (Some(share), _) => (Rank::Final, share),
            (None, Some(share)) => (Rank::Live, share),
            (None, None) => return None,
        };
        if only_due && share < 1.0 {
            return None;
        }
        lists.take_first(rank)
    }

    /// How many bytes the live orders weigh.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn tick(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis() / TICK_MS).unwrap_or(u32::MAX)
    }
}

impl RecencyEntry {
    /// The order has had work just now.
    pub fn touch(&self, rank: Rank) {
        let tick = self.recency.tick();
        let now = pack(tick, rank);
        if self.touched.swap(now, Ordering::Relaxed) == now {
            return;
        }
        let mut lists = self.recency.lists.lock();
        // An order out of the lists has been taken by a caller, who will put it back or end it.
        if lists.is_listed(self.element) {
            lists.unlist(self.element);
            lists.append(self.element, tick, rank);
        }
    }

    /// Puts the order back at the end of its list, after [`Recency::take_idlest`] took one that has work.
    pub fn put_back(&self) {
        let (tick, rank) = unpack(self.touched.load(Ordering::Relaxed));
        let mut lists = self.recency.lists.lock();
        if !lists.is_listed(self.element) {
            lists.append(self.element, tick.max(self.recency.tick()), rank);
        }
    }

    /// Sets the order's weight.
    pub fn weigh(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let all = &self.recency.bytes;
        all.fetch_add(bytes.into(), Ordering::Relaxed);
        all.fetch_sub(before.into(), Ordering::Relaxed);
    }
}

impl Drop for RecencyEntry {
    fn drop(&mut self) {
        self.weigh(0);
        let mut lists = self.recency.lists.lock();
        lists.remove(self.element);
    }
}

fn pack(tick: u32, rank: Rank) -> u64 {
    u64::from(tick) * 2 + rank as u64
}

fn unpack(packed: u64) -> (u32, Rank) {
    let rank = if packed.is_multiple_of(2) {
        Rank::Live
    } else {
        Rank::Final
    };
    (u32::try_from(packed / 2).unwrap_or(u32::MAX), rank)
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK_MS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u128) -> OrderId {
        OrderId(uuid::Uuid::from_u128(n))
    }

    fn recency() -> Arc<Recency> {
        Recency::new(Duration::from_secs(300), Duration::from_secs(30))
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_comes_first() {
        let recency = recency();
        let mut places = Vec::new();
        for n in 1..=4 {
            places.push(recency.enter(order(n)));
            pass(1).await;
        }
        places[0].touch(Rank::Live);
        // A dropped entry leaves the lists.
        drop(places.remove(1));
        let taken: Vec<_> = std::iter::from_fn(|| recency.take_idlest(false)).collect();
        assert_eq!(taken, [order(3), order(4), order(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_order_is_due_sooner_and_a_live_one_in_its_time() {
        let recency = recency();
        let (_live, finished) = (recency.enter(order(1)), recency.enter(order(2)));
        finished.touch(Rank::Final);
        pass(29).await;
        assert_eq!(recency.take_idlest(true), None);
        pass(1).await;
        assert_eq!(recency.take_idlest(true), Some(order(2)));
        assert_eq!(recency.take_idlest(true), None);
        pass(270).await;
        assert_eq!(recency.take_idlest(true), Some(order(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_up_when_it_was_taken_and_when_it_was_not() {
        let recency = recency();
        let (one, other) = (recency.enter(order(1)), recency.enter(order(2)));
        assert_eq!(recency.take_idlest(false), Some(order(1)));
        // The order had work meanwhile, so the caller that took it puts it back.
        pass(1).await;
        one.touch(Rank::Final);
        assert_eq!(recency.take_idlest(false), Some(order(2)));
        one.put_back();
        one.put_back();
        assert_eq!(recency.take_idlest(false), Some(order(1)));
        drop((one, other));
        let _again = recency.enter(order(3));
        assert_eq!(recency.take_idlest(false), Some(order(3)));
        assert_eq!(recency.take_idlest(false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_orders_weigh_goes_with_them() {
        let recency = recency();
        let (one, other) = (recency.enter(order(1)), recency.enter(order(2)));
        one.weigh(100);
        other.weigh(7);
        one.weigh(50);
        assert_eq!(recency.bytes(), 57);
        drop(one);
        assert_eq!(recency.bytes(), 7);
    }
}
