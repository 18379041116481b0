//! Swagger UI, which renders the OpenAPI document of [`super::openapi`] for people.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::fixed_document;

/// What a page of Swagger UI may load and do. All its scripts and styles are files of ours, but for one inline
/// style of its logo, which stands here by its hash. Its style sheet has images as `data:`, and it calls the
/// API. It has no inline scripts, frames or form targets.
const UI_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Puts the headers of a page or file of Swagger UI into its answer.
pub async fn guard_ui(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, UI_POLICY);
    headers.insert(header::CACHE_CONTROL, fixed_document::MAX_AGE);
    response
}
