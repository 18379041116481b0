//! JSON bodies. A valid body is parsed once; for an invalid one a second, slower parse in [`shape`] names the
//! wrong fields.

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use utoipa::ToSchema;

use super::body;
use super::problem::Problem;
use super::problem_code::Code;
use super::shape::{self, Compared};
use crate::codec::content::FieldError;
use crate::codec::object::Object;

/// The longest detail that quotes the client's own words.
const DETAIL_CHARS_MAX: usize = 200;

/// The body as `T`: 400 if it is no JSON, 413 or 415, or 422 with every field that is missing or of the
/// wrong type. Unknown fields are ignored.
pub async fn read<T: DeserializeOwned + ToSchema>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    read_checked(headers, body, Ok).await
}

/// Reads the body as `T`, as [`read`] does, and passes it through `check`. The 422 names the fields that
/// `check` finds together with those of the wrong form.
pub async fn read_checked<T: DeserializeOwned + ToSchema, C>(
    headers: &HeaderMap,
    body: Body,
    check: impl FnOnce(T) -> Result<C, Vec<FieldError>>,
) -> Result<C, Problem> {
    // The header comes first: a client that waits for `100 Continue` then needn't send a body that is
    // refused.
    require_json(headers)?;
    let bytes = body::read(headers, body).await?;
    parse(text_of(&bytes)?, check)
}

/// Like [`read`], but an absent body is `T`'s default.
pub async fn read_or_default<T: DeserializeOwned + ToSchema + Default>(
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
    parse(text_of(&bytes)?, Ok)
}

/// UTF-8 is checked here because the parser doesn't look into strings that it ignores.
fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        Problem::new(Code::MalformedJson, detail)
    })
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

/// Parses `text` as `T` and passes it through `check`.
pub fn parse<T: DeserializeOwned + ToSchema, C>(
    text: &str,
    check: impl FnOnce(T) -> Result<C, Vec<FieldError>>,
) -> Result<C, Problem> {
    match serde_json::from_str::<Object<T>>(text) {
        Ok(Object(value)) => check(value).map_err(Problem::invalid),
        Err(_) => look_closely(text, check),
    }
}

/// Says which fields are wrong, or that the text is no JSON. It may also find that the body is valid: only
/// here is a large whole number written with a fraction recognised, by its digits.
#[cold]
fn look_closely<T: DeserializeOwned + ToSchema, C>(
    text: &str,
    check: impl FnOnce(T) -> Result<C, Vec<FieldError>>,
) -> Result<C, Problem> {
    if let Err(syntax) = serde_json::from_str::<IgnoredAny>(text) {
        let detail = format!("not JSON: {syntax}");
        return Err(Problem::new(Code::MalformedJson, shorten(&detail)));
    }
    let Compared { mut errors, rest } = shape::compare::<T>(text);
    match serde_json::from_value::<T>(rest).map(check) {
        Ok(Ok(checked)) if errors.is_empty() => return Ok(checked),
        Ok(Err(broken)) => {
            let is_named = |error: &FieldError| {
                let covers = |known: &FieldError| shape::is_within(&error.pointer, &known.pointer);
                errors.iter().any(covers)
            };
            let more: Vec<_> = broken.into_iter().filter(|new| !is_named(new)).collect();
            errors.extend(more);
        }
        // The shape is right and the body still isn't readable: no form of today gets here.
        Err(error) if errors.is_empty() => {
            tracing::warn!(%error, "a body fits its schema and can't be read");
            let detail = "does not have the documented form";
            return Err(Problem::invalid_field("", detail));
        }
        Ok(Ok(_)) | Err(_) => {}
    }
    errors.truncate(shape::ERRORS_MAX);
    Err(Problem::invalid(errors))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
