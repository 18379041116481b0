//! Timestamps as RFC 3339 text in UTC with milliseconds, for serde's `with`. RFC 3339 writes a year in four
//! digits, so only times of the years 0000 to 9999 are read.

use serde::{Deserialize, Deserializer, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trackops_domain::time::Timestamp;

/// 0000-01-01T00:00:00.000Z.
const FIRST: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const LAST: i64 = 253_402_300_799_999;

/// `2026-01-31T12:00:00.000Z`. A time that RFC 3339 can't write is shown as the nearest that it can.
pub fn format(at: Timestamp) -> String {
    let millis = at.0.clamp(FIRST, LAST);
    let t = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        // The library can represent every time of these years.
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = t.to_calendar_date();
    let (hour, minute, second, milli) = t.to_hms_milli();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        u8::from(month)
    )
}

/// Parses any RFC 3339 timestamp of the years 0000 to 9999, in UTC; finer than a millisecond is cut off.
pub fn parse(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339)
        .ok()?
        .unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000))
        .ok()
        .map(Timestamp)
        .filter(|at| can_write(*at))
}

/// Whether RFC 3339 can write this time.
pub fn can_write(at: Timestamp) -> bool {
    (FIRST..=LAST).contains(&at.0)
}

/// For `#[serde(with = "rfc3339")]`.
pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*at))
}

/// For `#[serde(serialize_with = "rfc3339::serialize_some")]` on a field that is left out if it is `None`.
pub fn serialize_some<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// For `#[serde(with = "rfc3339")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 timestamp"))
}
