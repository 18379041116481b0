//! Growing pauses after failures, and a log line for the first failure only, not for every attempt.

use std::fmt::Display;
use std::time::Duration;

/// The pause after the first failure; doubled for each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: the shop goes on within half a minute after a service has come back.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The failures of one kind of work, in a row.
#[derive(Debug, Default)]
pub struct Patience {
    failures: u32,
}

impl Patience {
    /// Notes a success.
    pub fn worked(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure; returns how long to wait before the next attempt.
    pub fn failed(&mut self, what: &'static str, error: &dyn Display) -> Duration {
        let factor = 1_u32 << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(error = %error, "demo: {what} failed, trying again");
        } else {
            tracing::debug!(error = %error, "demo: {what} failed again");
        }
        PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX)
    }
}
