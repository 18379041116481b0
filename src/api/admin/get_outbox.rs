//! `GET /admin/v1/outbox`.

use crate::api::schemas::OutboxName;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error_answers::refusals;
use crate::api::problem::Problem;
use crate::ports::outbox::Outbox;

/// The outboxes of this role.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutboxList {
    /// One entry an outbox.
    pub items: Vec<OutboxView>,
}

/// How much waits in an outbox.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Outbox)]
pub struct OutboxView {
    /// `orders` or `inventory`.
    #[schema(value_type = OutboxName)]
    pub name: &'static str,
    /// Messages that the bus has not acknowledged yet; beyond 10,000 an estimate.
    pub pending: u64,
    /// Age of the oldest in seconds; null if none waits.
    #[schema(required)]
    pub oldest_age_seconds: Option<f64>,
    /// Messages that a relay couldn't read and has set aside, in the table `outbox_set_aside` with the
    /// reason. Those of a topic that it didn't know are published by a newer relay; the others need a
    /// person. Counted to 10,000.
    pub set_aside: u64,
}

refusals!(Refusals =; Unavailable);

/// Show how much waits in the outboxes.
#[utoipa::path(
    get, path = "/admin/v1/outbox", tag = "operations", operation_id = "getOutboxes",
    responses((status = 200, description = "The outboxes", body = OutboxList), Refusals)
)]
pub async fn get_outbox(
    State(outboxes): State<Arc<[Arc<dyn Outbox>]>>,
) -> Result<Json<OutboxList>, Problem> {
    let mut items = Vec::with_capacity(outboxes.len());
    for outbox in &*outboxes {
        let stats = outbox.stats().await?;
        items.push(OutboxView {
            name: outbox.name(),
            pending: stats.pending,
            oldest_age_seconds: stats.oldest_age.map(|age| age.as_secs_f64()),
            set_aside: stats.set_aside,
        });
    }
    Ok(Json(OutboxList { items }))
}
