//! The OpenAPI 3.1 document, without its routes: [`super::router`] adds them. Each handler describes itself;
//! the shared error answers are in [`super::error_answers`].

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error_answers::AnyErrors;
use super::fixed_document::FixedDocument;
use super::guard;
use super::problem::{Problem, ProblemBody};

/// Where the document is served.
pub const PATH: &str = "/api/v1/openapi.json";

/// What the document says beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "TrackOps", description = "Order tracking: place orders, drive them, watch them live."),
    components(schemas(ProblemBody)),
    modifiers(&ApiKeys),
    tags(
        (name = "orders", description = "Role `order`: place, drive and read orders"),
        (name = "live", description = "Role `order`: watch orders"),
        (name = "inventory", description = "Role `inventory`: stock and reservations"),
        (name = "operations", description = "Every role, on the management listener"),
        (name = "documents", description = "What this is"),
    )
)]
pub struct Document;

/// How callers say who they are.
struct ApiKeys;

impl Modify for ApiKeys {
    fn modify(&self, document: &mut OpenApiDocument) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API key, `tk_<id>_<secret>`".into());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(guard::SCHEME, SecurityScheme::Http(scheme));
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "documents",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"),
        AnyErrors)
)]
pub async fn get_openapi(
    State(document): State<FixedDocument>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    document.answer(&headers)
}
