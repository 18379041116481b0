//! `POST /admin/v1/cluster/nodes/{node}/drain`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster_admin::ClusterAdmin;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params;
use crate::api::problem::Problem;
use crate::api::request_headers::idempotency_key;

/// A replica that gives its shards away.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeDrain)]
pub struct DrainView {
    /// The node id.
    pub node: String,
    /// Whether its shards move to other replicas, which lasts until it joins again.
    pub draining: bool,
}

refusals!(Refusals = PARAMETERS, UNCONDITIONAL, UNUSED_KEY; NodeNotFound, Unavailable);

/// Let a replica give its shards to the others. They move one after another; `/admin/v1/shards` shows
/// how far it is. It holds until the replica is started again.
#[utoipa::path(
    post, path = "/admin/v1/cluster/nodes/{node}/drain", tag = "operations", operation_id = "drainNode",
    params(parameters::NodeId, parameters::IdempotencyKey),
    responses((status = 200, description = "It drains, now or before", body = DrainView), Refusals)
)]
pub async fn drain_node(
    State(admin): State<Arc<dyn ClusterAdmin>>,
    node: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<DrainView>, Problem> {
    let Path(node) = node.map_err(|_| params::invalid("the node in the path is not UTF-8"))?;
    etag::refuse_all(&headers)?;
    idempotency_key(&headers)?;
    let is_new = admin.drain(&node).await?;
    tracing::info!(node, is_new, "drain of a replica asked for");
    Ok(Json(DrainView {
        node,
        draining: true,
    }))
}
