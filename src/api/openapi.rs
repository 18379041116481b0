//! The OpenAPI 3.1 document, generated from the handlers, and the error answers that they share.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, OpenApi};

use super::documents;
use super::problem::ProblemBody;
use super::{admin, inventory, orders, probes, track};

/// Where the document is served.
pub const PATH: &str = "/api/v1/openapi.json";

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(title = "TrackOps", description = "Order tracking: place orders, drive them, watch them live."),
    paths(
        orders::place_order, orders::list_orders, orders::get_order, orders::get_history,
        orders::put_status, orders::cancel_order, orders::put_location,
        track::events::stream_order_events, track::socket::open_socket,
        inventory::list_items, inventory::get_item, inventory::put_item,
        inventory::list_adjustments, inventory::adjust_item,
        inventory::get_reservation,
        admin::get_actor, admin::release_actor, admin::get_outbox, admin::list_sagas,
        admin::get_cluster, admin::drain_node, admin::list_shards, admin::get_shard,
        admin::list_dead_letters, admin::get_dead_letter, admin::send_dead_letter,
        probes::get_livez, probes::get_readyz, probes::get_startupz, probes::get_metrics,
        get_openapi, documents::get_problem_page,
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "orders", description = "Role `order`: place, drive and read orders"),
        (name = "live", description = "Role `order`: watch orders"),
        (name = "inventory", description = "Role `inventory`: stock and reservations"),
        (name = "operations", description = "Every role, on the management listener"),
        (name = "documents", description = "What this is"),
    )
)]
pub struct Document;

/// The document as JSON, rendered once.
static JSON: LazyLock<Bytes> = LazyLock::new(|| {
    // A document without maps of odd keys always has a JSON form.
    Document::openapi()
        .to_pretty_json()
        .unwrap_or_default()
        .into()
});

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "documents",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub async fn get_openapi() -> Response {
    let kind = (header::CONTENT_TYPE, "application/json");
    ([kind], JSON.clone()).into_response()
}

/// The error answers of reads.
pub struct ReadErrors;

/// The error answers of writes.
pub struct WriteErrors;

impl IntoResponses for ReadErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            ("400", "A parameter or header can't be understood"),
            ("404", "Not there"),
            ("503", "Not available just now; see `Retry-After`"),
        ])
    }
}

impl IntoResponses for WriteErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            (
                "400",
                "Not JSON, or a parameter or header can't be understood",
            ),
            ("404", "Not there"),
            ("408", "The body took too long to arrive"),
            (
                "409",
                "The present state forbids it; `currentStatus` and `allowed` say what it allows",
            ),
            ("412", "`If-Match` names another version"),
            ("413", "The body is larger than 256 KiB"),
            ("415", "The body is not declared as JSON"),
            (
                "422",
                "Fields break rules, or the key was used for another request; see `errors`",
            ),
            ("503", "Not available just now; see `Retry-After`"),
        ])
    }
}

fn problems(all: &[(&str, &str)]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let problem = |description: &str| {
        let body = Ref::from_schema_name("ProblemBody");
        ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", Content::new(Some(body)))
            .build()
    };
    all.iter()
        .map(|(status, description)| ((*status).to_owned(), problem(description).into()))
        .collect()
}
