//! `GET /admin/v1/shards/{n}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::cluster_admin::ClusterAdmin;
use super::list_shards::ShardView;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;

refusals!(Refusals = PARAMETERS; ShardNotFound, Unavailable);

/// Show who owns a shard.
#[utoipa::path(
    get, path = "/admin/v1/shards/{n}", tag = "operations", operation_id = "getShard",
    params(parameters::ShardNumber),
    responses((status = 200, description = "The shard", body = ShardView), Refusals)
)]
pub async fn get_shard(
    State(admin): State<Arc<dyn ClusterAdmin>>,
    number: Result<Path<u64>, PathRejection>,
) -> Result<Json<ShardView>, Problem> {
    let Path(number) =
        number.map_err(|_| params::invalid("the shard in the path must be a whole number"))?;
    let shards = admin.shards()?;
    let count = shards.len();
    let found = shards
        .into_iter()
        .find(|shard| u64::from(shard.shard) == number);
    let shard = found.ok_or_else(|| {
        let detail = format!("there is no shard {number}: there are {count}, from 0");
        Problem::new(Code::ShardNotFound, detail)
    })?;
    Ok(Json(shard.into()))
}
