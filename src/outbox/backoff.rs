//! Pauses between attempts: doubled up to a cap, with jitter, so that many clients of a failed service
//! don't come back to it together.

use std::time::Duration;

/// The pauses of one series of failures.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses that begin at `base` and are never longer than `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// An attempt succeeded: the next pause is short again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure: between half and all of the doubled base.
    pub fn pause(&mut self) -> Duration {
        let full = self.base.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        full.min(self.cap)
            .mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_begins_anew() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(base, cap);
        for full in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.pause();
            let full = Duration::from_millis(full);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} {full:?}");
        }
        for _ in 0..100 {
            assert!(backoff.pause() <= cap);
        }
        backoff.reset();
        assert!(backoff.pause() <= base);
    }
}
