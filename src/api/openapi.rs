//! The OpenAPI 3.1 document, generated from the handlers. Each handler describes itself; the shared error
//! answers are in [`super::error_answers`].

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::OpenApi;

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
