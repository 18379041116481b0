//! `GET /startupz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AliveView;
use super::readiness::Readiness;
use crate::api::error_answers::refusals;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;

refusals!(Refusals =; NotStarted);

/// Whether the process has started.
#[utoipa::path(
    get, path = "/startupz", tag = "operations", operation_id = "getStartup",
    responses((status = 200, description = "Started", body = AliveView),
        Refusals)
)]
pub async fn get_startupz(
    State(readiness): State<Arc<Readiness>>,
) -> Result<Json<AliveView>, Problem> {
    if readiness.has_started() {
        return Ok(Json(AliveView { status: "started" }));
    }
    Err(Problem::new(Code::NotStarted, "the process is starting"))
}
