//! Pauses between attempts. They double, with jitter, so that replicas that lost the same peer don't
//! reconnect in step.

use std::time::Duration;

#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The next pause: random, between half of the step and the whole of it.
    pub fn next(&mut self) -> Duration {
        let step = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(25), ms(500));
        for step in [25, 50, 100, 200, 400, 500, 500] {
            let pause = backoff.next();
            assert!(
                pause >= ms(step) / 2 && pause <= ms(step),
                "{pause:?} of {step}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next() <= ms(500));
        }
        backoff.reset();
        assert!(backoff.next() <= ms(25));
    }
}
