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

/// How far ahead of the clock a known position may be. Positions from clients are checked more strictly.
/// This is for a position from the future that an older version has accepted, which no newer one would
/// ever replace.
const CREDIBLE_AHEAD: Duration = Duration::from_mins(1);

impl Position {
    /// Whether this position replaces `known`, which came before it. An older measurement never replaces
    /// a newer one; of two of the same moment, the later arrival counts.
    pub fn replaces(&self, known: Option<Self>) -> bool {
        known.is_none_or(|known| known.at <= self.at)
    }

    /// The position that is known after `earlier` and then `later` have come.
    pub fn newest(earlier: Option<Self>, later: Option<Self>) -> Option<Self> {
        later.filter(|later| later.replaces(earlier)).or(earlier)
    }

    /// Whether it can have been measured by `now`.
    pub fn is_credible(&self, now: Timestamp) -> bool {
        self.at <= now.plus(CREDIBLE_AHEAD)
    }
}
