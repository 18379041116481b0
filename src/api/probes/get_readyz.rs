//! `GET /readyz`.

use crate::api::schemas::ReadyStatus;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::check_view::CheckView;
use super::readiness::Readiness;
use crate::api::error_answers::refusals;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;

/// Ready, perhaps with something away that requests can do without.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct ReadyView {
    /// `ready` or `degraded`.
    #[schema(value_type = ReadyStatus)]
    pub status: &'static str,
    /// Every check.
    pub checks: Vec<CheckView>,
}

refusals!(Refusals =; NotReady);

/// Whether requests should come here.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "getReadiness",
    responses((status = 200, description = "Ready; what is away is named", body = ReadyView),
        Refusals)
)]
pub async fn get_readyz(
    State(readiness): State<Arc<Readiness>>,
) -> Result<Json<ReadyView>, Problem> {
    let report = readiness.report().await;
    let checks: Vec<CheckView> = report
        .checks
        .into_iter()
        .map(|(name, verdict)| CheckView::of(name, verdict))
        .collect();
    if report.ready {
        let degraded = checks.iter().any(|check| check.status == "degraded");
        let status = if degraded { "degraded" } else { "ready" };
        return Ok(Json(ReadyView { status, checks }));
    }
    let why: Vec<String> = checks
        .iter()
        .filter(|check| check.status == "unready")
        .map(|check| format!("{}: {}", check.name, check.reason.as_deref().unwrap_or("")))
        .collect();
    Err(Problem::new(Code::NotReady, why.join("; ")).with_checks(checks))
}
