//! Every route. Leaves to `app.rs` which of these routers a process serves, and on which listener.

use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post, put};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::state::{ApiState, InventoryState, ManagementState};
use super::{admin, documents, inventory, openapi, orders, probes};

/// The order role's public routes.
pub fn public_order_routes(state: ApiState) -> Router {
    Router::new()
        .route(
            "/api/v1/orders",
            get(orders::list_orders).post(orders::place_order),
        )
        .route("/api/v1/orders/{id}", get(orders::get_order))
        .route("/api/v1/orders/{id}/history", get(orders::get_history))
        .route("/api/v1/orders/{id}/status", put(orders::put_status))
        .route("/api/v1/orders/{id}/cancel", post(orders::cancel_order))
        .route("/api/v1/orders/{id}/location", put(orders::put_location))
        .with_state(Arc::new(state))
}

/// The inventory role's public routes.
pub fn public_inventory_routes(state: InventoryState) -> Router {
    Router::new()
        .route("/api/v1/inventory/items", get(inventory::list_items))
        .route(
            "/api/v1/inventory/items/{sku}",
            get(inventory::get_item).put(inventory::put_item),
        )
        .route(
            "/api/v1/inventory/items/{sku}/adjustments",
            get(inventory::list_adjustments).post(inventory::adjust_item),
        )
        .route(
            "/api/v1/inventory/reservations/{orderId}",
            get(inventory::get_reservation),
        )
        .with_state(Arc::new(state))
}

/// The pages that an error's `type` links to; once on every listener.
pub fn problem_routes() -> Router {
    Router::new().route("/problems/{code}", get(documents::get_problem_page))
}

/// The OpenAPI document and its pages for people; once on every public listener.
pub fn document_routes() -> Router {
    problem_routes()
        .route("/api/v1/openapi.json", get(openapi::get_openapi))
        .merge(SwaggerUi::new("/docs").config(Config::new([openapi::PATH])))
}

/// `/` leads to `/docs`, until there are pages.
pub fn front_page_routes() -> Router {
    Router::new().route("/", get(|| async { Redirect::temporary("/docs/") }))
}

/// The management listener's routes without [`problem_routes`]. Routes of what the role doesn't have are left
/// out.
pub fn management_routes(state: ManagementState) -> Router {
    let mut routes = Router::new()
        .route("/livez", get(probes::get_livez))
        .merge(
            Router::new()
                .route("/metrics", get(probes::get_metrics))
                .with_state(state.metrics),
        )
        .merge(
            Router::new()
                .route("/readyz", get(probes::get_readyz))
                .route("/startupz", get(probes::get_startupz))
                .with_state(state.readiness),
        );
    if let Some(orders) = state.orders {
        let actors = Router::new()
            .route("/admin/v1/actors/{orderId}", get(admin::get_actor))
            .route(
                "/admin/v1/actors/{orderId}/release",
                post(admin::release_actor),
            );
        routes = routes.merge(actors.with_state(orders));
    }
    if let Some(admin) = state.cluster {
        let cluster = Router::new()
            .route("/admin/v1/cluster", get(admin::get_cluster))
            .route(
                "/admin/v1/cluster/nodes/{node}/drain",
                post(admin::drain_node),
            )
            .route("/admin/v1/shards", get(admin::list_shards))
            .route("/admin/v1/shards/{n}", get(admin::get_shard));
        routes = routes.merge(cluster.with_state(admin));
    }
    if let Some(admin) = state.sagas {
        let sagas = Router::new().route("/admin/v1/sagas", get(admin::list_sagas));
        routes = routes.merge(sagas.with_state(admin));
    }
    if !state.outboxes.is_empty() {
        let outbox = Router::new().route("/admin/v1/outbox", get(admin::get_outbox));
        routes = routes.merge(outbox.with_state(state.outboxes.into()));
    }
    if let Some(admin) = state.dead_letters {
        let letters = Router::new()
            .route("/admin/v1/dead-letters", get(admin::list_dead_letters))
            .route(
                "/admin/v1/dead-letters/{topic}/{partition}/{offset}",
                get(admin::get_dead_letter),
            )
            .route(
                "/admin/v1/dead-letters/{topic}/{partition}/{offset}/send",
                post(admin::send_dead_letter),
            );
        routes = routes.merge(letters.with_state(admin));
    }
    routes
}
