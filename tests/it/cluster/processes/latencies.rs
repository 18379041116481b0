//! How long commands waited for their answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Remembered between two looks; ten minutes of all clients at their pace. Beyond it the oldest are
/// forgotten.
const KEPT_MAX: usize = 1 << 17;

/// Waits since the last look.
#[derive(Default)]
pub struct Latencies(Mutex<VecDeque<Duration>>);

impl Latencies {
    /// Remembers one.
    pub fn note(&self, waited: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(waited);
    }

    /// All since the last call.
    pub fn take(&self) -> Sample {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Sample::of(kept.into())
    }
}

/// Some waits, from the shortest to the longest.
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Of these, in any order.
    pub fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The longest; zero if there is none.
    pub fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// The wait that `percent` of all don't exceed, by nearest rank; zero if there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let wait = self.0.get(rank.saturating_sub(1));
        wait.copied().unwrap_or_default()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (half, most) = (self.percentile(50), self.percentile(99));
        let (count, longest) = (self.len(), self.longest());
        write!(
            f,
            "p50 {half:?}, p99 {most:?}, longest {longest:?} of {count}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let latencies = Latencies::default();
        assert_eq!(latencies.take().percentile(99), Duration::ZERO);
        for millis in (1..=200).rev() {
            latencies.note(Duration::from_millis(millis));
        }
        let sample = latencies.take();
        assert_eq!(sample.len(), 200);
        assert_eq!(sample.percentile(50), Duration::from_millis(100));
        assert_eq!(sample.percentile(99), Duration::from_millis(198));
        assert_eq!(sample.longest(), Duration::from_millis(200));
        assert_eq!(latencies.take().len(), 0);
    }
}
