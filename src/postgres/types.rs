//! Column types as they are on the wire, so that nothing is converted or copied twice.

use bytes::Bytes;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use trackops_domain::time::Timestamp;

/// PostgreSQL counts microseconds from 2000-01-01T00:00:00Z.
const EPOCH_MS: i64 = 946_684_800_000;

/// A `timestamptz` of whole milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Millis(pub Timestamp);

/// The latest `timestamptz` there is.
pub(super) const INFINITY: Millis = Millis(Timestamp(i64::MAX));

impl Type<Postgres> for Millis {
    fn type_info() -> PgTypeInfo {
        <time::OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Millis {
    fn array_type_info() -> PgTypeInfo {
        <time::OffsetDateTime as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Millis {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.0.saturating_sub(EPOCH_MS).saturating_mul(1000);
        buf.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Millis {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp(micros.div_euclid(1000) + EPOCH_MS)))
    }
}

/// `pg_type.dat`: the ids of built-in types never change. (sqlx knows `jsonb` alone by name.)
const JSON: Oid = Oid(114);
const JSON_ARRAY: Oid = Oid(199);

/// A `json` value as its text. PostgreSQL checks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(pub &'a [u8]);

impl Type<Postgres> for Json<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl PgHasArrayType for Json<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON_ARRAY)
    }
}

impl Encode<'_, Postgres> for Json<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for Json<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?))
    }
}

/// A `text` value given as bytes. PostgreSQL checks that it is UTF-8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub &'a [u8]);

impl Type<Postgres> for Text<'_> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Text<'_> {
    fn array_type_info() -> PgTypeInfo {
        <String as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Text<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for Text<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?))
    }
}

impl From<Text<'_>> for Bytes {
    fn from(text: Text<'_>) -> Self {
        Self::copy_from_slice(text.0)
    }
}

/// Whether JSON text holds an escaped U+0000 (`\u0000` that is not itself an escaped backslash): valid JSON,
/// but no text of ours may hold that character. `jsonb` would refuse it; `json`, which costs a tenth, doesn't
/// check.
pub(super) fn has_nul(json: &[u8]) -> bool {
    const ESCAPE: &[u8] = b"\\u0000";
    let mut from = 0;
    while let Some(found) = find(&json[from..], ESCAPE) {
        let at = from + found;
        let backslashes = json[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if backslashes.is_multiple_of(2) {
            return true;
        }
        from = at + ESCAPE.len();
    }
    false
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // Most bytes are no backslash and are skipped quickly.
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|b| *b == needle[0]) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn only_the_character_itself_counts() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#));
        assert!(has_nul(br#""\\\u0000""#));
        assert!(!has_nul(br#""\\u0000""#));
        assert!(!has_nul(br#""\u0001 \u000a \\""#));
        assert!(has_nul(br#""\\u0000 \u0000""#));
        assert!(!has_nul(b""));
    }
}
