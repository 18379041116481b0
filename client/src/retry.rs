//! How often and how long something is tried again, and how long the pauses are.

use std::time::{Duration, Instant};

use rand::RngExt as _;

/// When to try again. Between two attempts is a pause that doubles each time, of which a random part is left
/// out, so that the clients of a stopped server don't all come back at once. A `Retry-After` makes it longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts, the first included; at least 1.
    pub attempts_max: u32,
    /// No attempt begins later than this after the first.
    pub time_max: Duration,
    /// The longest pause before the second attempt.
    pub pause_first: Duration,
    /// The longest pause before any, but for a `Retry-After`.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// One attempt.
    pub const fn none() -> Self {
        Self {
            attempts_max: 1,
            time_max: Duration::ZERO,
            pause_first: Duration::ZERO,
            pause_max: Duration::ZERO,
        }
    }

    /// Five attempts in half a minute: a restart or a takeover of a replica is over by then.
    pub const fn standard() -> Self {
        Self {
            attempts_max: 5,
            time_max: Duration::from_secs(30),
            pause_first: Duration::from_millis(200),
            pause_max: Duration::from_secs(5),
        }
    }

    /// Attempts without an end, for who watches until somebody stops it.
    pub const fn endless() -> Self {
        Self {
            attempts_max: u32::MAX,
            time_max: Duration::MAX,
            pause_first: Duration::from_millis(250),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::standard()
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    begun: Instant,
    failed: u32,
}

impl Backoff {
    /// Before the first attempt.
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            begun: Instant::now(),
            failed: 0,
        }
    }

    /// As before the first attempt.
    pub fn reset(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Notes a failure; the pause before the next attempt, which is `least` or longer, or `None` if there is
    /// none.
    pub fn pause(&mut self, least: Duration) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= self.policy.attempts_max {
            return None;
        }
        let doubled = 2_u32.saturating_pow(self.failed - 1);
        let longest = self.policy.pause_first.saturating_mul(doubled);
        let longest = longest.min(self.policy.pause_max);
        let pause = longest.mul_f64(rand::rng().random_range(0.5..=1.0));
        let pause = pause.max(least);
        let ends = self.begun.elapsed().saturating_add(pause);
        (ends <= self.policy.time_max).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_end() {
        let policy = RetryPolicy {
            attempts_max: 6,
            time_max: Duration::from_secs(60),
            pause_first: Duration::from_millis(100),
            pause_max: Duration::from_millis(400),
        };
        let mut backoff = Backoff::new(policy);
        for longest in [100, 200, 400, 400, 400] {
            let pause = backoff.pause(Duration::ZERO).expect("one more");
            let longest = Duration::from_millis(longest);
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
        }
        assert_eq!(backoff.pause(Duration::ZERO), None, "six attempts");
        backoff.reset();
        assert!(backoff.pause(Duration::ZERO).is_some());
    }

    #[test]
    fn what_the_server_asks_for_counts_and_time_is_bounded() {
        let mut backoff = Backoff::new(RetryPolicy::standard());
        let second = Duration::from_secs(1);
        assert_eq!(backoff.pause(second), Some(second));
        assert_eq!(backoff.pause(Duration::from_secs(31)), None, "too long");
        assert_eq!(Backoff::new(RetryPolicy::none()).pause(second), None);
        let mut endless = Backoff::new(RetryPolicy::endless());
        for _ in 0..100 {
            assert!(endless.pause(Duration::ZERO).is_some());
        }
    }
}
