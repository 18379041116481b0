//! JSON bodies: one parse on the way that works; a second one, slower, to name the field on the way
//! that doesn't.

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use super::body;
use super::problem::Problem;
use super::problem_code::Code;
use crate::codec::object::Object;

/// The longest detail that quotes the client's own words.
const DETAIL_CHARS_MAX: usize = 200;

/// The body as `T`: 400 if it is no JSON, 413 or 415, or 422 with a pointer to the field of the
/// wrong type. Unknown fields are ignored.
pub async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    // First, because whoever waits for `100 Continue` needn't send a body that is refused.
    require_json(headers)?;
    let bytes = body::read(headers, body).await?;
    parse(&bytes)
}

/// Like [`read`], but an absent body is `T`'s default.
pub async fn read_or_default<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    if body.size_hint().lower() > 0 {
        require_json(headers)?;
    }
    let bytes = body::read(headers, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    require_json(headers)?;
    parse(&bytes)
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(axum::http::HeaderValue::as_bytes);
    let essence = given
        .and_then(|value| value.split(|byte| *byte == b';').next())
        .map(<[u8]>::trim_ascii);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/json")) {
        return Ok(());
    }
    let detail = match given {
        Some(given) => format!(
            "the body is {}, not application/json",
            shorten(&String::from_utf8_lossy(given))
        ),
        None => "the request has no Content-Type".into(),
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Checked apart, because the parser doesn't look into strings that it ignores.
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        Problem::new(Code::MalformedJson, detail)
    })?;
    match serde_json::from_str::<Object<T>>(text) {
        Ok(Object(value)) => Ok(value),
        Err(error) => Err(explain::<T>(text, &error)),
    }
}

/// Which field was wrong, or that it is no JSON at all.
#[cold]
fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Problem {
    if let Err(syntax) = serde_json::from_str::<IgnoredAny>(text) {
        return Problem::new(Code::MalformedJson, shorten(&syntax.to_string()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer);
    let mut pointer = found
        .err()
        .map(|error| pointer(error.path()))
        .unwrap_or_default();
    let message = error.to_string();
    let place = message.rfind(" at line ").unwrap_or(message.len());
    let detail = &message[..place];
    // A missing field is reported on the object that lacks it; say which field.
    let missing = detail
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    if let Some(missing) = missing {
        push(&mut pointer, missing);
    }
    Problem::invalid_field(pointer, shorten(detail))
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// RFC 6901, 3: `~` and `/` are escaped.
fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
