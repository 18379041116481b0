//! Which rate to try next on the way to the highest that is good.

use super::figures::Figures;

/// An edge within so many percent is near enough: the machine varies more.
const NEAR_PERCENT: u32 = 6;
/// Rates are round numbers.
const ROUND: u32 = 50;
/// Below this there is no edge worth looking for.
const RATE_MIN: u32 = 50;
/// How often one rate may fail by stalls alone before it counts as failed.
const TRIES_MAX: usize = 2;

/// The next rate between the highest good one and the lowest bad one above it; `None` once they are near.
pub fn next_rate(tried: &[(u32, bool)]) -> Option<u32> {
    let good = tried
        .iter()
        .filter(|(_, good)| *good)
        .map(|(rate, _)| *rate);
    let low = good.max();
    let above = tried
        .iter()
        .filter(|(rate, good)| !good && low.is_none_or(|low| *rate > low));
    let high = above.map(|(rate, _)| *rate).min();
    let next = match (low, high) {
        (None, None) => return None,
        (None, Some(high)) => high / 2,
        (Some(low), None) => low + low / 4,
        (Some(low), Some(high)) if high - low <= low * NEAR_PERCENT / 100 => return None,
        (Some(low), Some(high)) => low + (high - low) / 2,
    };
    let next = (next + ROUND / 2) / ROUND * ROUND;
    let is_new = tried.iter().all(|(rate, _)| *rate != next);
    (is_new && next >= RATE_MIN).then_some(next)
}

/// The rate of the last measurement, if only stalls kept it from being good and it hasn't had its tries.
pub fn try_again(figures: &[Figures], good: fn(&Figures) -> bool) -> Option<u32> {
    let last = figures.last()?;
    let rate = last.rate;
    let tries = figures.iter().filter(|figures| figures.rate == rate);
    (!good(last) && last.stalled() && tries.count() < TRIES_MAX).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge_of(capacity: u32, mut tried: Vec<(u32, bool)>) -> (u32, usize) {
        let before = tried.len();
        while let Some(rate) = next_rate(&tried) {
            tried.push((rate, rate <= capacity));
            assert!(tried.len() < before + 12, "{tried:?}");
        }
        let good = tried.iter().filter(|(_, good)| *good);
        let edge = good.map(|(rate, _)| *rate).max().unwrap_or(0);
        (edge, tried.len() - before)
    }

    #[test]
    fn the_edge_is_found_from_below_above_and_between() {
        let table = |capacity| [200, 1000, 3000, 4000, 6000].map(|rate| (rate, rate <= capacity));
        for capacity in [150, 700, 3400, 4650, 5900, 9000] {
            let (edge, probes) = edge_of(capacity, table(capacity).to_vec());
            assert!(edge <= capacity, "{edge} of {capacity}");
            assert!(
                f64::from(edge) >= f64::from(capacity) * 0.9,
                "{edge} of {capacity}"
            );
            assert!(probes <= 6, "{probes} for {capacity}");
        }
    }

    #[test]
    fn a_lower_rate_that_failed_by_chance_is_passed_over() {
        assert_eq!(
            next_rate(&[(1000, true), (2000, false), (3000, true), (4000, false)]),
            Some(3500)
        );
        assert_eq!(next_rate(&[]), None);
        assert_eq!(next_rate(&[(3000, true), (3150, false)]), None);
    }
}
