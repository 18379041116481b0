//! An item's entity tag, and the conditions that name it (RFC 9110, 13.1).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::api::etag::{self, Named};
use crate::api::problem::Problem;
use crate::ports::stock::{Condition, Versions};

/// The tag of an item's version: the version in quotes.
pub fn of(version: u64) -> HeaderValue {
    // Quotes and digits are always a valid header value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// The condition under which the request writes. `If-Match` compares strongly, `If-None-Match` weakly.
pub fn condition(headers: &HeaderMap) -> Result<Condition, Problem> {
    let if_match = etag::named(headers, &header::IF_MATCH)?.map(|named| match named {
        Named::Any => Versions::Any,
        Named::Versions(strong, _) => Versions::OneOf(strong),
    });
    Ok(Condition {
        if_match,
        if_none_match: if_none_match(headers)?,
    })
}

/// The versions that the request must not find.
pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Versions>, Problem> {
    let named = etag::named(headers, &header::IF_NONE_MATCH)?;
    Ok(named.map(|named| match named {
        Named::Any => Versions::Any,
        Named::Versions(strong, weak) => Versions::OneOf([strong, weak].concat()),
    }))
}
