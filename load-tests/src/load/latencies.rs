//! Latencies in an HDR histogram: microseconds, three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::numbers::{micros, to_f64};

/// What is slower counts as this slow.
const LATENCY_MAX_US: u64 = 120_000_000;

/// A histogram of durations.
pub struct Latencies(Histogram<u64>);

/// The figures of a report, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub max_ms: f64,
}

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
                .expect("bounds and digits are valid constants"),
        )
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.0.saturating_record(micros(duration).max(1));
    }

    /// The quantile `q` (0 to 1) in milliseconds.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        to_f64(self.0.value_at_quantile(q)) / 1e3
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The figures of a report.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            p50_ms: self.quantile_ms(0.5),
            p90_ms: self.quantile_ms(0.9),
            p99_ms: self.quantile_ms(0.99),
            p99_9_ms: self.quantile_ms(0.999),
            max_ms: to_f64(self.0.max()) / 1e3,
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        for (shown, wanted) in [
            (summary.p50_ms, 500.0),
            (summary.p99_ms, 990.0),
            (summary.max_ms, 1000.0),
        ] {
            assert!(
                (shown - wanted).abs() <= wanted / 900.0,
                "{shown} is not {wanted}"
            );
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_counted_at_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_hours(1));
        assert_eq!(latencies.count(), 2);
        assert!(latencies.summary().max_ms >= 119_000.0);
    }
}
