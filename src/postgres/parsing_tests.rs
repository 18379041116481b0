//! Whatever the configuration names as a database is read or refused, and only a U+0000 keeps JSON out.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::types::has_nul;
use super::url;
use crate::codec::damaged::{damage, damaged};

proptest! {
    #[test]
    fn only_a_nul_keeps_json_out(
        texts in vec("[\\\\u0\u{0}nü\"]{0,8}", 0..4), any in vec(any::<u8>(), 0..40), damage in damage(),
    ) {
        let nul = texts.iter().any(|text| text.contains('\0'));
        let written = Value::from(texts).to_string();
        prop_assert_eq!(has_nul(written.as_bytes()), nul, "{}", written);
        let _ = (has_nul(&any), has_nul(&damaged(written.as_bytes(), &damage)));
    }

    #[test]
    fn any_url_is_read_or_refused_in_silence(
        any in any::<String>(), damage in damage(), pairs in "([a-z_\\[%0-9]{0,20}=[!-~]{0,12}&){0,3}",
    ) {
        let ours = format!("postgres://u:hunter2@h:5432/db?sslmode=prefer&{pairs}");
        let struck = damaged(ours.as_bytes(), &damage);
        for text in [any, ours, String::from_utf8_lossy(&struck).into_owned()] {
            if let Err(error) = url::options(&text) {
                let shown = format!("{error:?} {error}");
                prop_assert!(!shown.contains("hunter2"), "{}", shown);
            }
        }
    }
}
