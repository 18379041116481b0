//! What pages of other origins may ask and read (CORS). Leaves refusing what they may not change to
//! [`super::site_policy`].

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The headers that such a page may send: those that the API reads.
const ASKED_HEADERS: [&str; 7] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
];

/// The headers that such a page may read beside the usual ones.
const SHOWN_HEADERS: [&str; 6] = [
    "etag",
    "location",
    "retry-after",
    "idempotency-replayed",
    "ratelimit",
    "ratelimit-policy",
];

/// How long a browser remembers what it may ask.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// Lets pages of `origins` read answers.
pub fn with_cors(router: &Router, origins: &[String]) -> Option<Router> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
        .allow_headers(ASKED_HEADERS.map(HeaderName::from_static))
        .expose_headers(SHOWN_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE);
    Some(router.clone().layer(cors))
}

/// Whether a page may have sent it. Every `OPTIONS` is a preflight to the layer, so it gets no other.
pub fn is_for_cors(request: &Request<Body>) -> bool {
    let has = |name: HeaderName| request.headers().contains_key(name);
    has(header::ORIGIN)
        && (*request.method() != Method::OPTIONS || has(header::ACCESS_CONTROL_REQUEST_METHOD))
}
