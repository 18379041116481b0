//! Moments as the API writes them: RFC 3339 in UTC with milliseconds.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 0000-01-01T00:00:00.000Z.
const FIRST_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const LAST_MS: i64 = 253_402_300_799_999;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. RFC 3339 has the years 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_ms: i64,
}

impl Timestamp {
    /// The moment so many milliseconds after 1970, or the nearest one that can be written.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        Self {
            unix_ms: unix_ms.clamp(FIRST_MS, LAST_MS),
        }
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// Reads RFC 3339 text; finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339)
            .ok()?
            .unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1_000_000))
            .ok()
            .filter(|unix_ms| (FIRST_MS..=LAST_MS).contains(unix_ms))
            .map(|unix_ms| Self { unix_ms })
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self::from_unix_ms(ms(since)),
            Err(before) => Self::from_unix_ms(-ms(before.duration())),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let span = Duration::from_millis(at.unix_ms.unsigned_abs());
        if at.unix_ms < 0 {
            Self::UNIX_EPOCH - span
        } else {
            Self::UNIX_EPOCH + span
        }
    }
}

impl fmt::Display for Timestamp {
    /// `2026-01-31T12:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.unix_ms) * 1_000_000;
        // The library can represent every time of these years.
        let at =
            OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, ms) = at.to_hms_milli();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 timestamp"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let at = Timestamp::parse("2026-01-31T13:00:00.1239+01:00").expect("a moment");
        assert_eq!(at.to_string(), "2026-01-31T12:00:00.123Z");
        assert_eq!(Timestamp::from(SystemTime::from(at)), at);
        let early = Timestamp::from_unix_ms(-1);
        assert_eq!(early.to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from(SystemTime::from(early)), early);
        assert_eq!(Timestamp::parse("yesterday"), None);
        let ends = [i64::MIN, i64::MAX].map(|ms| Timestamp::from_unix_ms(ms).to_string());
        assert_eq!(
            ends,
            ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"]
        );
    }
}
