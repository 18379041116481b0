//! Growing pauses after failures, and a log that tells of a failure once, not at every attempt.

use std::fmt::Display;
use std::time::Duration;

/// After the first failure; doubled for each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// At most: the shop is back within half a minute of whatever was away.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The failures of one kind of work, in a row.
#[derive(Debug, Default)]
pub struct Patience {
    failures: u32,
}

impl Patience {
    /// It worked.
    pub fn worked(&mut self) {
        self.failures = 0;
    }

    /// It failed; how long to leave it alone.
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
