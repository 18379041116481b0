//! Every route, named once: the OpenAPI document comes from the same lists that the routers do. Leaves to
//! `app.rs` which of these routers a process serves, and on which listener.

use std::sync::Arc;

use axum::http::Method;
use axum::response::Redirect;
use axum::routing::get;
use axum::{Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use trackops_domain::access::Action::{
    Advance, Cancel, Locate, Place, ReadAdmin, ReadOrders, ReadReservations, ReadStock, WriteAdmin,
    WriteStock,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::admin::cluster_admin::ClusterAdmin;
use super::admin::dead_letter_admin::DeadLetterAdmin;
use super::admin::{AccessAdmin, SagaAdmin};
use super::fixed_document::FixedDocument;
use super::guard::{followed, guarded, open_to_all};
use super::limit_layer::{Classes, LimitLayer};
use super::openapi;
use super::probes::readiness::Readiness;
use super::served::Served;
use super::state::{ApiState, InventoryState, ManagementState};
use super::track::{TrackState, TrackingState};
use super::{admin, asyncapi, documents, inventory, orders, probes, problem_pages, track};
use crate::limits::Class;
use crate::ports::orders::Orders;
use crate::ports::outbox::Outbox;

/// The order role's public routes.
pub fn public_order_routes(state: ApiState) -> Served {
    Served::new(order_routes(), Arc::new(state))
}

fn order_routes() -> OpenApiRouter<Arc<ApiState>> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadOrders), (Method::POST, Place)],
            routes!(orders::list_orders, orders::place_order),
        ))
        .routes(guarded(
            &[(Method::GET, ReadOrders)],
            routes!(orders::get_order),
        ))
        .routes(guarded(
            &[(Method::GET, ReadOrders)],
            routes!(orders::get_history),
        ))
        .routes(guarded(
            &[(Method::GET, ReadOrders)],
            routes!(orders::get_tracking_link),
        ))
        .routes(guarded(
            &[(Method::PUT, Advance)],
            routes!(orders::put_status),
        ))
        .routes(guarded(
            &[(Method::POST, Cancel)],
            routes!(orders::cancel_order),
        ))
        .routes(guarded(
            &[(Method::PUT, Locate)],
            routes!(orders::put_location),
        ))
}

/// The order role's public routes that watch orders live.
pub fn live_routes(state: TrackState) -> Served {
    Served::new(track_routes(), state)
}

fn track_routes() -> OpenApiRouter<TrackState> {
    OpenApiRouter::new()
        .routes(followed(
            &[(Method::GET, ReadOrders)],
            routes!(track::socket::open_socket),
        ))
        .routes(followed(
            &[(Method::GET, ReadOrders)],
            routes!(track::events::stream_order_events),
        ))
}

/// The order role's public routes for whoever has a tracking link. The token in the path is the credential.
pub fn tracking_routes(state: TrackingState) -> Served {
    Served::new(link_routes(), state)
}

fn link_routes() -> OpenApiRouter<TrackingState> {
    OpenApiRouter::new()
        .routes(open_to_all(
            Some(Class::Read),
            routes!(track::get_tracking::get_tracking),
        ))
        .routes(open_to_all(
            Some(Class::Subscribe),
            routes!(track::stream_tracking::stream_tracking_events),
        ))
}

/// The inventory role's public routes.
pub fn public_inventory_routes(state: InventoryState) -> Served {
    Served::new(inventory_routes(), Arc::new(state))
}

fn inventory_routes() -> OpenApiRouter<Arc<InventoryState>> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadStock)],
            routes!(inventory::list_items),
        ))
        .routes(guarded(
            &[(Method::GET, ReadStock), (Method::PUT, WriteStock)],
            routes!(inventory::get_item, inventory::put_item),
        ))
        .routes(guarded(
            &[(Method::GET, ReadStock), (Method::POST, WriteStock)],
            routes!(inventory::list_adjustments, inventory::adjust_item),
        ))
        .routes(guarded(
            &[(Method::GET, ReadReservations)],
            routes!(inventory::get_reservation),
        ))
}

/// The pages that an error's `type` links to; once on every listener.
fn problem_routes() -> Served {
    Served::new(problem_page_routes(), ())
}

fn problem_page_routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(open_to_all(
            Some(Class::Read),
            routes!(problem_pages::list_problem_pages),
        ))
        .routes(open_to_all(
            Some(Class::Read),
            routes!(problem_pages::get_problem_page),
        ))
}

/// What a public listener serves: `routes`, their documents, its pages for people if `has_ui`, and the front page.
///
/// `is_open`: nobody needs a credential.
pub fn public(routes: Served, is_open: bool, has_ui: bool) -> Router {
    let documents = documented(routes, is_open);
    if has_ui {
        documents.merge(ui_routes())
    } else {
        documents.merge(read(
            Router::new().route("/", get(|| async { Redirect::temporary(openapi::PATH) })),
        ))
    }
}

/// What a management listener serves: `routes` and their documents. `is_open` as for [`public`].
pub fn management(routes: Served, is_open: bool) -> Router {
    documented(routes, is_open)
}

/// `routes` with their OpenAPI document, that of the messages, and the pages that an error's `type` links to.
fn documented(routes: Served, is_open: bool) -> Router {
    let routes = routes.merge(problem_routes());
    let mut described = routes.document().clone();
    described.merge(openapi_routes().into_openapi());
    described.merge(asyncapi_routes().into_openapi());
    // Plain JSON: writing it to memory has no way to fail.
    let json =
        serde_json::to_string_pretty(&openapi::rendered(described, is_open)).unwrap_or_default();
    let document = FixedDocument::new("application/json", json);
    let documents = Served::new(openapi_routes(), document)
        .merge(Served::new(asyncapi_routes(), asyncapi::DOCUMENT.clone()));
    routes.merge(documents).into_router()
}

fn openapi_routes() -> OpenApiRouter<FixedDocument> {
    OpenApiRouter::new().routes(open_to_all(
        Some(Class::Read),
        routes!(openapi::get_openapi),
    ))
}

fn asyncapi_routes() -> OpenApiRouter<FixedDocument> {
    OpenApiRouter::new().routes(open_to_all(
        Some(Class::Read),
        routes!(asyncapi::get_asyncapi),
    ))
}

/// Swagger UI. `/` leads to it, until there are pages.
fn ui_routes() -> Router {
    // Without this it would ask a server elsewhere whether the document is valid.
    let config = Config::new([openapi::PATH]).validator_url("none");
    let pages = Router::from(SwaggerUi::new("/docs").config(config))
        .route_layer(middleware::map_response(documents::guard_ui))
        .route("/", get(|| async { Redirect::temporary("/docs/") }));
    read(pages)
}

/// Counts what isn't in the document as reads.
fn read(pages: Router) -> Router {
    pages.route_layer(LimitLayer(Classes::Open(Some(Class::Read))))
}

/// The routes of a role's operations. Those of what the role doesn't have are left out.
pub fn management_routes(state: ManagementState) -> Served {
    let mut routes = Served::new(probe_routes(), state.readiness)
        .merge(Served::new(metrics_routes(), state.metrics));
    if let Some(orders) = state.orders {
        routes = routes.merge(Served::new(actor_routes(), orders));
    }
    if let Some(admin) = state.cluster {
        routes = routes.merge(Served::new(cluster_routes(), admin));
    }
    if let Some(admin) = state.sagas {
        routes = routes.merge(Served::new(saga_routes(), admin));
    }
    if !state.outboxes.is_empty() {
        routes = routes.merge(Served::new(outbox_routes(), state.outboxes.into()));
    }
    if let Some(admin) = state.access {
        routes = routes.merge(Served::new(access_routes(), admin));
    }
    if let Some(admin) = state.dead_letters {
        routes = routes.merge(Served::new(dead_letter_routes(), admin));
    }
    routes
}

fn probe_routes() -> OpenApiRouter<Arc<Readiness>> {
    OpenApiRouter::new()
        .routes(open_to_all(None, routes!(probes::get_livez)))
        .routes(open_to_all(None, routes!(probes::get_readyz)))
        .routes(open_to_all(None, routes!(probes::get_startupz)))
}

fn metrics_routes() -> OpenApiRouter<PrometheusHandle> {
    OpenApiRouter::new().routes(open_to_all(None, routes!(probes::get_metrics)))
}

fn actor_routes() -> OpenApiRouter<Arc<dyn Orders>> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::get_actor),
        ))
        .routes(guarded(
            &[(Method::POST, WriteAdmin)],
            routes!(admin::release_actor),
        ))
}

fn cluster_routes() -> OpenApiRouter<Arc<dyn ClusterAdmin>> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::get_cluster),
        ))
        .routes(guarded(
            &[(Method::POST, WriteAdmin)],
            routes!(admin::drain_node),
        ))
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::list_shards),
        ))
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::get_shard),
        ))
}

fn saga_routes() -> OpenApiRouter<SagaAdmin> {
    OpenApiRouter::new().routes(guarded(
        &[(Method::GET, ReadAdmin)],
        routes!(admin::list_sagas),
    ))
}

fn outbox_routes() -> OpenApiRouter<Arc<[Arc<dyn Outbox>]>> {
    OpenApiRouter::new().routes(guarded(
        &[(Method::GET, ReadAdmin)],
        routes!(admin::get_outbox),
    ))
}

fn access_routes() -> OpenApiRouter<AccessAdmin> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadAdmin), (Method::POST, WriteAdmin)],
            routes!(admin::list_keys, admin::make_key),
        ))
        .routes(guarded(
            &[(Method::POST, WriteAdmin)],
            routes!(admin::revoke_key),
        ))
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::list_audit),
        ))
}

fn dead_letter_routes() -> OpenApiRouter<Arc<dyn DeadLetterAdmin>> {
    OpenApiRouter::new()
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::list_dead_letters),
        ))
        .routes(guarded(
            &[(Method::GET, ReadAdmin)],
            routes!(admin::get_dead_letter),
        ))
        .routes(guarded(
            &[(Method::POST, WriteAdmin)],
            routes!(admin::send_dead_letter),
        ))
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
