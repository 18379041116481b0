//! How many orders all sockets and streams of this replica follow together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::telemetry::names;

/// When a client should come back: others end their subscriptions all the time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The subscriptions of one socket or stream, which count until it ends.
pub struct Subscriptions {
    /// Those of all.
    all: Arc<AtomicUsize>,
    max: usize,
    own: usize,
}

impl Subscriptions {
    /// None yet, of `max` that there may be in all.
    pub fn new(all: Arc<AtomicUsize>, max: usize) -> Self {
        Self { all, max, own: 0 }
    }

    /// Counts one more.
    pub fn add(&mut self) -> Result<(), Problem> {
        let one_more = |count: usize| (count < self.max).then_some(count + 1);
        let added = self
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if added.is_err() {
            metrics::counter!(names::BOUND_REACHED, "bound" => "subscriptions_total_max")
                .increment(1);
            let detail = "this replica follows as many orders as it may";
            return Err(Problem::new(Code::Overloaded, detail).retry_after(RETRY_AFTER));
        }
        self.own += 1;
        metrics::gauge!(names::LIVE_SUBSCRIPTIONS).increment(1);
        Ok(())
    }

    /// Takes back what is above `count`: so many orders are followed.
    pub fn shrink_to(&mut self, count: usize) {
        let over = self.own.saturating_sub(count);
        self.own -= over;
        self.all.fetch_sub(over, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand")]
        metrics::gauge!(names::LIVE_SUBSCRIPTIONS).decrement(over as f64);
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_have_a_bound_and_give_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let connection = || Subscriptions::new(Arc::clone(&all), 3);
        let (mut one, mut other) = (connection(), connection());
        for _ in 0..2 {
            one.add().expect("there is room");
        }
        other.add().expect("there is room");
        let full = other.add().expect_err("three are there");
        assert_eq!(full.code(), Code::Overloaded);
        one.shrink_to(1);
        other.add().expect("one has gone");
        drop(other);
        assert_eq!(all.load(Ordering::Relaxed), 1);
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
