//! Documents that only another version of the program changes, with their entity tags. Leaves what they say
//! to [`super::openapi`] and [`super::documents`].

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::etag;
use super::problem::Problem;

/// For so long a client or cache may show what it has. After an upgrade it shows the former text for an hour
/// at most, and asks with the tag then.
pub const MAX_AGE: HeaderValue = HeaderValue::from_static("max-age=3600, must-revalidate");

/// A document. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FixedDocument {
    kind: HeaderValue,
    body: Bytes,
    tag: HeaderValue,
}

impl FixedDocument {
    /// `body`, which is of the media type `kind`.
    pub fn new(kind: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let tag = format!("\"{:032x}\"", xxh3_128(&body));
        Self {
            kind: HeaderValue::from_static(kind),
            body,
            // Quotes and digits are always a valid header value.
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\"")),
        }
    }

    /// The answer to a `GET` with these headers.
    pub fn answer(&self, headers: &HeaderMap) -> Result<Response, Problem> {
        etag::refuse(headers, &header::IF_MATCH)?;
        let kept = [
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, MAX_AGE),
        ];
        if etag::is_named(headers, &header::IF_NONE_MATCH, &self.tag)? {
            return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
        }
        let kind = [(header::CONTENT_TYPE, self.kind.clone())];
        Ok((kind, kept, self.body.clone()).into_response())
    }
}
