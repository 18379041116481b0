//! `GET /livez`.

use crate::api::schemas::ProcessPhase;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error_answers::AnyErrors;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProcessState)]
pub struct AliveView {
    /// `alive`.
    #[schema(value_type = ProcessPhase)]
    pub status: &'static str,
}

/// Whether the process answers at all: nothing outside it is looked at, for a restart cures no
/// dependency.
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "getLiveness",
    responses((status = 200, description = "Alive", body = AliveView),
        AnyErrors)
)]
pub async fn get_livez() -> Json<AliveView> {
    Json(AliveView { status: "alive" })
}
