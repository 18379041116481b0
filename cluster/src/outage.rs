//! Decides when to log that a dependency is away: at the first failure, every ten seconds while it lasts,
//! and once it is over, with its length. Leaves the log lines to the callers.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

/// The time between two log lines while the outage lasts.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The failures since the last success, if there are any.
#[derive(Debug, Default)]
pub(crate) struct Outage(Option<Running>);

#[derive(Debug)]
struct Running {
    since: Instant,
    said: Instant,
    failures: u32,
}

impl Outage {
    /// Notes a failure. Returns the number of failures so far if it is time for a log line.
    pub fn failed(&mut self) -> Option<u32> {
        let now = Instant::now();
        let Some(running) = &mut self.0 else {
            self.0 = Some(Running {
                since: now,
                said: now,
                failures: 1,
            });
            return Some(1);
        };
        running.failures += 1;
        if now - running.said < SAY_EVERY {
            return None;
        }
        running.said = now;
        Some(running.failures)
    }

    /// Notes a success. Returns how long the outage lasted, if there was one.
    pub fn over(&mut self) -> Option<Duration> {
        self.0.take().map(|running| running.since.elapsed())
    }
}

/// An error and all its causes, in one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_outage_takes_a_line_every_ten_seconds() {
        let mut outage = Outage::default();
        let mut said = Vec::new();
        for _ in 0..250 {
            said.extend(outage.failed());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(said, [1, 101, 201]);
        assert_eq!(outage.over(), Some(Duration::from_secs(25)));
        assert_eq!(outage.over(), None);
    }
}
