//! The API's pages for people: one for each problem code, and Swagger UI, which renders the OpenAPI document
//! of [`super::openapi`].

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::error_answers::refusals;
use super::fixed_document::{self, FixedDocument};
use super::parameters;
use super::problem::Problem;
use super::problem_code::Code;

refusals!(Refusals = PARAMETERS, UNCONDITIONAL, CONDITIONS; NotFound);

/// What a problem code means and what to do about it.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "documents", operation_id = "getProblemPage",
    params(parameters::CodeOfPath, parameters::IfNoneMatch),
    responses((status = 200, description = "A page in Markdown", body = String,
        content_type = "text/markdown", headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "The client has this page", headers(("ETag"), ("Cache-Control"))),
        Refusals)
)]
pub async fn get_problem_page(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = Code::parse(&name)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no problem of that code"))?;
    let facts = code.facts();
    let mut page = String::new();
    // Writing to a String has no way to fail.
    let _ = write!(
        page,
        "# {}\n\n`{}`, status {}\n\n{}\n",
        facts.title, facts.code, facts.status, facts.advice
    );
    FixedDocument::new("text/markdown; charset=utf-8", page).answer(&headers)
}

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
