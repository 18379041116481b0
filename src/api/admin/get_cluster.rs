//! `GET /admin/v1/cluster`.

use crate::api::schemas::LinkState;
use crate::codec::schema::Time;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::cluster_admin::{
    ClusterAdmin, ClusterAdminError, ClusterState, LinkReport, NodeLife, NodeState,
};
use crate::api::error_answers::refusals;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::problem_of;
use crate::codec::rfc3339;

/// The cluster as the replica that is asked knows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub struct ClusterView {
    /// The replica that is asked.
    pub me: NodeLifeView,
    /// How old this is, in ms; null before the membership store has answered for the first time.
    #[schema(required)]
    pub age_ms: Option<u64>,
    /// By node id.
    pub nodes: Vec<NodeView>,
    /// Links of the replica that is asked to the others, by node id.
    pub links: Vec<LinkView>,
}

/// One life of a node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeLife)]
pub struct NodeLifeView {
    /// The node id.
    pub node: String,
    /// Rises whenever the node joins.
    pub incarnation: i64,
}

/// A replica.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Node)]
pub struct NodeView {
    /// The node id.
    pub node: String,
    /// Rises whenever the node joins.
    pub incarnation: i64,
    /// Where other replicas reach it.
    pub address: String,
    /// Whether its shards move to other replicas, because somebody asked for that.
    pub draining: bool,
    /// What is left of its lease in ms; 0 once it has ended, null where leases don't end.
    #[schema(required)]
    pub lease_remaining_ms: Option<u64>,
    /// How many shards are its own.
    pub shards: usize,
}

/// A link to another replica.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeLink)]
pub struct LinkView {
    /// The other's node id.
    pub peer: String,
    /// Which life of it.
    pub incarnation: i64,
    /// Where it is reached.
    pub address: String,
    /// `up`, `connecting` or `down`.
    #[schema(value_type = LinkState)]
    pub standing: &'static str,
    /// Since when.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub since: Timestamp,
    /// Calls that wait for an answer.
    pub calls_in_flight: usize,
    /// What went wrong last; it stays after the link is up again.
    #[schema(required)]
    pub last_error: Option<String>,
}

impl From<NodeLife> for NodeLifeView {
    fn from(life: NodeLife) -> Self {
        Self {
            node: life.node,
            incarnation: life.incarnation,
        }
    }
}

impl From<NodeState> for NodeView {
    fn from(node: NodeState) -> Self {
        Self {
            node: node.life.node,
            incarnation: node.life.incarnation,
            address: node.address,
            draining: node.draining,
            lease_remaining_ms: node.lease.map(millis),
            shards: node.shards,
        }
    }
}

impl From<LinkReport> for LinkView {
    fn from(link: LinkReport) -> Self {
        Self {
            peer: link.peer.node,
            incarnation: link.peer.incarnation,
            address: link.address,
            standing: link.status,
            since: link.since,
            calls_in_flight: link.calls_in_flight,
            last_error: link.last_error,
        }
    }
}

impl From<ClusterState> for ClusterView {
    fn from(state: ClusterState) -> Self {
        Self {
            me: state.me.into(),
            age_ms: state.age.map(millis),
            nodes: state.nodes.into_iter().map(Into::into).collect(),
            links: state.links.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ClusterAdminError> for Problem {
    fn from(error: ClusterAdminError) -> Self {
        match &error {
            ClusterAdminError::Starting => {
                Self::new(Code::Unavailable, error.to_string()).retry_after(Duration::from_secs(1))
            }
            ClusterAdminError::Unavailable(_) => problem_of::unavailable(&error),
            ClusterAdminError::UnknownNode => Self::new(Code::NodeNotFound, error.to_string()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

refusals!(Refusals =; Unavailable);

/// Show the replicas and the links between them.
#[utoipa::path(
    get, path = "/admin/v1/cluster", tag = "operations", operation_id = "getCluster",
    responses((status = 200, description = "Replicas and links", body = ClusterView), Refusals)
)]
pub async fn get_cluster(
    State(admin): State<Arc<dyn ClusterAdmin>>,
) -> Result<Json<ClusterView>, Problem> {
    Ok(Json(admin.cluster()?.into()))
}
