//! Where a courier is.

use std::time::Duration;

use trackops_domain::time::Timestamp;

/// A courier's position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Latitude, degrees WGS 84.
    pub lat: f64,
    /// Longitude, degrees WGS 84.
    pub lon: f64,
    /// When it was measured or arrived.
    pub at: Timestamp,
}

/// How far ahead of the clock a position that is known may be. What a client sends is checked more
/// strictly; this is for what an older version has let in, which nothing newer would ever replace.
const CREDIBLE_AHEAD: Duration = Duration::from_mins(1);

impl Position {
    /// Whether it takes the place of `known`, which came before it: no measurement gives way to an older
    /// one, and of two of the same moment the last to come counts.
    pub fn replaces(&self, known: Option<Self>) -> bool {
        known.is_none_or(|known| known.at <= self.at)
    }

    /// What is known after `earlier` and then `later` have come.
    pub fn newest(earlier: Option<Self>, later: Option<Self>) -> Option<Self> {
        later.filter(|later| later.replaces(earlier)).or(earlier)
    }

    /// Whether it may have been measured at all by `now`.
    pub fn is_credible(&self, now: Timestamp) -> bool {
        self.at <= now.plus(CREDIBLE_AHEAD)
    }
}
