//! Pauses that grow after each failure, with jitter, so that replicas don't all come back at once.

use std::time::Duration;

/// Exponential from `first` to `cap`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) cap: Duration,
}

impl Backoff {
    /// The wait after failure number `failures` (from 1): half of the step is fixed, the other half is
    /// random.
    pub(super) fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let step = self.first.saturating_mul(1 << doublings).min(self.cap);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }
}
