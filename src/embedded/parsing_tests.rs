//! Whatever the file holds is read or refused; what was written is read again.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;

use super::bus::headers;
use super::text::stored_json;
use crate::codec::damaged::{damage, damaged};

/// Whether a string anywhere in `value` has a U+0000.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

proptest! {
    #[test]
    fn headers_come_back_and_damaged_ones_are_refused(
        written in btree_map(any::<String>(), vec(any::<u8>(), 0..20), 0..4), damage in damage(),
        any in vec(any::<u8>(), 0..40),
    ) {
        let parts: Vec<_> = written.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut stored = Vec::new();
        headers::write(&parts, &mut stored);
        let read = headers::read(&Bytes::from(stored.clone())).expect("ours");
        let read: Vec<_> = read.iter().map(|(name, value)| (&**name, &**value)).collect();
        prop_assert_eq!(read, parts);
        let _ = headers::read(&Bytes::from(damaged(&stored, &damage)));
        let _ = headers::read(&Bytes::from(any));
    }

    #[test]
    fn only_a_nul_keeps_json_out(
        texts in vec("[\\\\u0\u{0}nü\"]{0,8}", 0..4), any in vec(any::<u8>(), 0..40), damage in damage(),
    ) {
        let value = Value::from(texts);
        let written = value.to_string();
        prop_assert_eq!(stored_json(written.as_bytes()).is_err(), has_nul(&value), "{}", written);
        let _ = (stored_json(&any), stored_json(&damaged(written.as_bytes(), &damage)));
    }
}

#[test]
fn stored_headers_keep_their_form() {
    let stored = include_str!("../../tests/fixtures/forms/bus_headers.hex").trim_end();
    let mut written = Vec::new();
    headers::write(&[("ce_id", b"1"), ("own", &[0xff, 0])], &mut written);
    let hex: Vec<String> = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.concat(), stored);
}
