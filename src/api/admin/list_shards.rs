//! `GET /admin/v1/shards`.

use crate::api::schemas::ShardStanding;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster_admin::{ClusterAdmin, ShardState};
use super::get_cluster::NodeLifeView;
use crate::api::error_answers::refusals;
use crate::api::problem::Problem;

/// Every shard.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardList {
    /// How many shards each node owns, by node id.
    pub nodes: Vec<NodeShardsView>,
    /// How many nobody owns.
    pub free: usize,
    /// Ascending.
    pub items: Vec<ShardView>,
}

/// How much a node owns.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeShards)]
pub struct NodeShardsView {
    /// The node id.
    pub node: String,
    /// How many shards.
    pub shards: usize,
}

/// A shard.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Shard)]
pub struct ShardView {
    /// Its number.
    pub shard: u16,
    /// The fencing token of the last claim.
    pub epoch: i64,
    /// Who made that claim and has not given the shard up since; it need not be alive.
    #[schema(required)]
    pub owner: Option<NodeLifeView>,
    /// Where the owner is reached; null if there is none or its lease has ended.
    #[schema(required)]
    pub address: Option<String>,
    /// The shard on the replica that is asked.
    pub here: LocalShardView,
}

/// A shard on the replica that is asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LocalShard)]
pub struct LocalShardView {
    /// `owned`, `held` (a move is under way, new work waits), `drained` (another may take it at any
    /// moment), `settling` (it finds out what became of a lost write) or `free` (another's, or
    /// nobody's).
    #[schema(value_type = ShardStanding)]
    pub standing: &'static str,
    /// Orders of it that are in memory as actors.
    pub live_actors: usize,
}

impl From<ShardState> for ShardView {
    fn from(state: ShardState) -> Self {
        Self {
            shard: state.shard,
            epoch: state.epoch,
            owner: state.owner.map(Into::into),
            address: state.address,
            here: LocalShardView {
                standing: state.here.state,
                live_actors: state.here.live_actors,
            },
        }
    }
}

impl ShardList {
    fn of(shards: Vec<ShardState>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for owner in shards.iter().filter_map(|shard| shard.owner.as_ref()) {
            *counts.entry(&owner.node).or_default() += 1;
        }
        let nodes: Vec<NodeShardsView> = counts
            .into_iter()
            .map(|(node, shards)| NodeShardsView {
                node: node.to_owned(),
                shards,
            })
            .collect();
        Self {
            free: shards.iter().filter(|shard| shard.owner.is_none()).count(),
            nodes,
            items: shards.into_iter().map(Into::into).collect(),
        }
    }
}

refusals!(Refusals =; Unavailable);

/// Show who owns which shard.
#[utoipa::path(
    get, path = "/admin/v1/shards", tag = "operations", operation_id = "listShards",
    responses((status = 200, description = "Every shard", body = ShardList), Refusals)
)]
pub async fn list_shards(
    State(admin): State<Arc<dyn ClusterAdmin>>,
) -> Result<Json<ShardList>, Problem> {
    Ok(Json(ShardList::of(admin.shards()?)))
}
