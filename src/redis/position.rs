//! The stored form of a courier's position: latitude, longitude and time of measurement in ms, with spaces in
//! between. A script reads the time from its end.

use trackops_domain::time::Timestamp;

use crate::model::position::Position;

/// The index rounds to about half a metre; the courier's own key keeps the exact position.
pub(super) fn write(position: Position) -> String {
    format!("{} {} {}", position.lat, position.lon, position.at.0)
}

/// Reads the stored form; `None` for text that isn't a place on the Earth and a time.
pub(super) fn read(stored: &str) -> Option<Position> {
    let mut parts = stored.split(' ');
    let mut degrees = |max: f64| {
        let degrees: f64 = parts.next()?.parse().ok()?;
        (degrees.abs() <= max).then_some(degrees)
    };
    let (lat, lon) = (degrees(90.0)?, degrees(180.0)?);
    let at = Timestamp(parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(Position { lat, lon, at })
}
