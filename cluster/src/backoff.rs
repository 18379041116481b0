//! Pauses between attempts at something that fails: each is twice the last, up to a longest one.

use std::time::Duration;

/// The pauses of one series of failures.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    has_jitter: bool,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first` to `longest`, each shortened at random by up to a half, so that those who lost
    /// the same service together don't come back to it together.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            has_jitter: true,
            failures: 0,
        }
    }

    /// The same pauses without jitter, where nobody else comes back at the same time.
    pub const fn exact(first: Duration, longest: Duration) -> Self {
        Self {
            has_jitter: false,
            ..Self::new(first, longest)
        }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.after(self.failures)
    }

    /// The pause after failure number `failures` (from 1), for a caller that counts by itself.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.first.saturating_mul(factor).min(self.longest);
        if self.has_jitter {
            pause.mul_f64(rand::random_range(0.5..=1.0))
        } else {
            pause
        }
    }

    /// An attempt succeeded: the next pause is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS_MS: [u64; 7] = [25, 50, 100, 200, 400, 500, 500];

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn exact_pauses_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::exact(ms(25), ms(500));
        for _ in 0..2 {
            assert_eq!(STEPS_MS.map(|_| backoff.pause()), STEPS_MS.map(ms));
            backoff.reset();
        }
    }

    #[test]
    fn jitter_takes_off_half_at_most() {
        for _ in 0..100 {
            let mut backoff = Backoff::new(ms(25), ms(500));
            for step in STEPS_MS.map(ms) {
                let pause = backoff.pause();
                assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
            }
        }
    }

    #[test]
    fn any_number_of_failures_has_a_pause() {
        let backoff = Backoff::exact(ms(25), Duration::MAX);
        assert_eq!(backoff.after(0), ms(25));
        assert_eq!(backoff.after(3), ms(100));
        assert!(backoff.after(u32::MAX) >= ms(25) * (u32::MAX / 2));
    }
}
