//! Counts and durations as the numbers that reports show.

use std::time::Duration;

/// A count as a float. Counts here stay far below 2^52, so nothing is lost.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark stay far below 2^52"
)]
pub fn to_f64(count: u64) -> f64 {
    count as f64
}

/// A figure as a whole number, for rates and counts read from text; negative ones are 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded first, and `as` saturates at both ends"
)]
pub fn to_u64(figure: f64) -> u64 {
    figure.round() as u64
}

/// `count` a second over `elapsed`; 0 for no time at all.
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() {
        0.0
    } else {
        to_f64(count) / elapsed.as_secs_f64()
    }
}

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The middle of sorted figures, the mean of the two middle ones if they are even in number; 0 of none.
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted {
        [] => 0.0,
        _ if sorted.len() % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        for (sorted, wanted) in [
            (&[][..], 0.0),
            (&[3.0], 3.0),
            (&[1.0, 2.0, 9.0], 2.0),
            (&[1.0, 2.0], 1.5),
        ] {
            assert!((median(sorted) - wanted).abs() < 1e-9);
        }
    }
}
