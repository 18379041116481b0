//! The envelope of every text between replicas, and the errors of reading one.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

use crate::faults::{self, points};

/// The version that this code writes, and the only one so far that it reads.
const VERSION: u8 = 1;

/// A text of another replica that can't be understood.
#[derive(Debug, Error)]
pub enum LinkFormError {
    /// The text is not the expected JSON.
    #[error("unreadable {what}")]
    Json {
        /// Which part.
        what: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The version is one that this code doesn't read.
    #[error("unknown version {0}")]
    Version(u8),
    /// The kind is one that this code doesn't know.
    #[error("unknown kind {0}")]
    Kind(String),
    /// The text is readable, but its content is impossible.
    #[error("impossible {0}")]
    Impossible(&'static str),
}

#[derive(Deserialize)]
struct EnvelopeIn<'a> {
    v: u8,
    kind: String,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct EnvelopeOut<'a, B> {
    v: u8,
    kind: &'a str,
    body: B,
}

/// Opens the envelope: the kind, and the body's JSON.
pub(super) fn open(text: &[u8]) -> Result<(String, &str), LinkFormError> {
    let what = "envelope";
    let envelope: EnvelopeIn<'_> =
        serde_json::from_slice(text).map_err(|source| LinkFormError::Json { what, source })?;
    if envelope.v != VERSION {
        return Err(LinkFormError::Version(envelope.v));
    }
    Ok((envelope.kind, envelope.body.map_or("null", RawValue::get)))
}

pub(super) fn close(kind: &str, body: impl Serialize) -> Bytes {
    let envelope = EnvelopeOut {
        v: VERSION,
        kind,
        body,
    };
    if faults::hit(points::SPEAK_NEWER, "") {
        return newer(&envelope);
    }
    // Writing plain structs of strings and numbers to memory has no way to fail.
    serde_json::to_vec(&envelope).unwrap_or_default().into()
}

/// The envelope as a newer version might write it: with more fields in every object, except in maps by id.
fn newer(envelope: &impl Serialize) -> Bytes {
    fn add(value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(add),
            Value::Object(fields) => {
                fields.values_mut().for_each(add);
                if fields
                    .keys()
                    .all(|name| name.parse::<uuid::Uuid>().is_err())
                {
                    fields.insert("later".into(), json!({"than": [1]}));
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(envelope).unwrap_or_default();
    add(&mut value);
    value.to_string().into()
}

pub(super) fn read<T: DeserializeOwned>(
    what: &'static str,
    body: &str,
) -> Result<T, LinkFormError> {
    serde_json::from_str(body).map_err(|source| LinkFormError::Json { what, source })
}
