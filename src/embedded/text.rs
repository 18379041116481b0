//! Values as JSON parameters: SQLite takes a batch as one JSON array (`json_each`), in which ids are
//! hexadecimal digits.

use uuid::Uuid;

use super::error::refused;

/// An id as 32 hexadecimal digits, for `unhex`.
pub(super) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// `values` as the JSON array of a parameter.
pub(super) fn json(values: &impl serde::Serialize) -> String {
    // Strings, numbers and lists of them have no way to fail.
    serde_json::to_string(values).unwrap_or_else(|_| "[]".into())
}

/// Checks JSON that is stored as text. U+0000 is refused, as PostgreSQL's `jsonb` refuses it: every order
/// that is written here could be moved to PostgreSQL. Malformed JSON is left to the schema.
pub(super) fn stored_json(bytes: &[u8]) -> sqlx::Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|_| refused("JSON that is not UTF-8"))?;
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        if rest[at..].starts_with("\\u0000") {
            return Err(refused("U+0000 in JSON"));
        }
        // Skips the backslash and the escaped character, which is one ASCII character in valid JSON.
        rest = rest.get(at + 2..).unwrap_or("");
    }
    plain(text)
}

/// Text without U+0000, which SQLite would cut short and PostgreSQL refuses.
pub(super) fn plain(text: &str) -> sqlx::Result<&str> {
    if text.contains('\0') {
        return Err(refused("U+0000 in text"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_nul_is_refused() {
        assert!(stored_json(br#"{"a":"\u0000"}"#).is_err());
        assert!(stored_json(br#"{"a":"\\\u0000"}"#).is_err());
        assert!(stored_json(br#"{"a":"\\u0000"}"#).is_ok());
        assert!(stored_json("{\"a\":\"ü\\n\\u00e4\"}".as_bytes()).is_ok());
        assert!(stored_json(b"{\"a\":\"\0\"}").is_err());
        assert!(stored_json(&[0xff]).is_err());
    }
}
