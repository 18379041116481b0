//! `GET /admin/v1/actors/{orderId}`.

use crate::api::schemas::ActorState;
use crate::codec::schema::Time;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::OrderPath;
use crate::api::problem::Problem;
use crate::codec::rfc3339;
use crate::model::order_answer::ActorReport;
use crate::ports::orders::{Orders, OrdersExt};

/// An order's actor as operations sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Actor)]
pub struct ActorView {
    /// The order.
    pub order_id: uuid::Uuid,
    /// `live`, `passive`, `restarting` or `quarantined`.
    #[schema(value_type = ActorState)]
    pub state: &'static str,
    /// The order's shard.
    pub shard: u16,
    /// The shard's epoch.
    pub epoch: i64,
    /// The order's version, when live.
    #[schema(required)]
    pub version: Option<u32>,
    /// Commands admitted and not yet answered.
    pub mailbox: u32,
    /// Failures in the last minute.
    pub restarts: u32,
    /// The last failure.
    #[schema(required)]
    pub last_error: Option<LastErrorView>,
}

/// A failure of an actor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActorFailure)]
pub struct LastErrorView {
    /// What it said.
    pub message: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
}

impl ActorView {
    fn of(order_id: uuid::Uuid, report: ActorReport) -> Self {
        Self {
            order_id,
            state: report.state,
            shard: report.shard,
            epoch: report.epoch,
            version: report.version.map(|version| version.0),
            mailbox: report.mailbox,
            restarts: report.restarts,
            last_error: report
                .last_error
                .map(|(message, at)| LastErrorView { message, at }),
        }
    }
}

refusals!(Refusals = ORDER);

/// Show an order's actor: state, mailbox, restarts, last error.
#[utoipa::path(
    get, path = "/admin/v1/actors/{orderId}", tag = "operations", operation_id = "getActor",
    params(parameters::OrderIdOfPath),
    responses((status = 200, description = "The actor", body = ActorView), Refusals)
)]
pub async fn get_actor(
    State(orders): State<Arc<dyn Orders>>,
    OrderPath(id): OrderPath,
) -> Result<Json<ActorView>, Problem> {
    let report = orders.inspect(id).await?;
    Ok(Json(ActorView::of(id.0, report)))
}
