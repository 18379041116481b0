//! The API's pages for people: one for each problem code. The OpenAPI document is in [`super::openapi`];
//! Swagger UI renders it.

use std::fmt::Write as _;

use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;

use super::error_answers::ReadErrors;
use super::problem::Problem;
use super::problem_code::Code;

/// What a problem code means and what to do about it.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "documents",
    params(("code" = String, Path, description = "The `code` of a problem")),
    responses((status = 200, description = "A page in Markdown", body = String,
        content_type = "text/markdown"), ReadErrors)
)]
pub async fn get_problem_page(Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
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
    Ok((
        [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")],
        page,
    ))
}
