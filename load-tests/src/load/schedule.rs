//! When each request is due. Whoever is free takes the next slot, so a slow
//! answer delays no other request, and a late one stays measured as late.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One request's place in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Counts from 0.
    pub number: u64,
    /// When the request should be sent.
    pub due: Instant,
}

/// A constant rate from a start on, shared by all that send.
pub struct Schedule {
    start: Instant,
    /// 0: everything is due at the start.
    rate_per_second: u32,
    slots: u64,
    /// No slot is given out after this.
    ends: Option<Instant>,
    next: AtomicU64,
    closed: AtomicBool,
}

impl Schedule {
    /// `slots` requests at `rate_per_second`; a rate of 0 makes all due at once.
    pub fn new(start: Instant, rate_per_second: u32, slots: u64) -> Self {
        let (next, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self {
            start,
            rate_per_second,
            slots,
            ends: None,
            next,
            closed,
        }
    }

    /// The same, but no slot is given out after `ends`.
    pub fn ending(mut self, ends: Option<Instant>) -> Self {
        self.ends = ends;
        self
    }

    /// The next slot; `None` when all are taken or the schedule was closed.
    pub fn take(&self) -> Option<Slot> {
        let is_over = self.ends.is_some_and(|ends| Instant::now() > ends);
        if is_over || self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.slots).then(|| Slot {
            number,
            due: self.due(number),
        })
    }

    /// When slot `number` is due.
    pub fn due(&self, number: u64) -> Instant {
        if self.rate_per_second == 0 {
            return self.start;
        }
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate_per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Gives out no more slots.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Slots that somebody should have taken and nobody did, once `take` has ended for everyone.
    pub fn not_taken(&self) -> u64 {
        if self.ends.is_some() {
            return 0;
        }
        self.slots.saturating_sub(self.next.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_evenly_spaced_and_end() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3, 7);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(taken.len(), 7);
        assert_eq!(
            taken[0],
            Slot {
                number: 0,
                due: start
            }
        );
        assert_eq!(taken[3].due, start + Duration::from_secs(1));
        assert_eq!(taken[6].due, start + Duration::from_secs(2));
        assert_eq!(schedule.not_taken(), 0);
    }

    #[test]
    fn a_schedule_that_has_ended_gives_nothing_and_misses_nothing() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 0, u64::MAX).ending(Some(start));
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert_eq!(schedule.take(), None);
        assert_eq!(schedule.not_taken(), 0);
    }

    #[test]
    fn a_closed_schedule_knows_what_was_left() {
        let schedule = Schedule::new(Instant::now(), 0, 10);
        let first = schedule.take().expect("ten slots");
        assert_eq!(
            schedule.take().expect("nine left").due,
            first.due,
            "rate 0: all due at once"
        );
        schedule.close();
        assert_eq!(schedule.take(), None);
        assert_eq!(schedule.not_taken(), 8);
    }
}
