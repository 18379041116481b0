//! `GET /admin/v1/sagas`.

use crate::api::schemas::SagaAwaits;
use crate::codec::schema::{OrderStatus, Time};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::saga_admin::SagaAdmin;
use crate::api::cursor;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::{Query, invalid};
use crate::api::problem::Problem;
use crate::codec::rfc3339;
use crate::ports::sagas::{Stuck, Waiting, WaitingFilter};

/// A page of the orders that wait for inventory.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SagaPage)]
pub struct SagaList {
    /// The longest waiting first.
    pub items: Vec<SagaView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// An order that waits for inventory.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Saga)]
pub struct SagaView {
    /// The order.
    pub order_id: uuid::Uuid,
    /// Its status.
    #[schema(value_type = OrderStatus)]
    pub status: &'static str,
    /// `reservation`, or `release` once it is cancelled.
    #[schema(value_type = SagaAwaits)]
    pub awaits: &'static str,
    /// When the wait began.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub since: Timestamp,
    /// When it is looked at next.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub deadline: Timestamp,
    /// How often inventory was asked again.
    pub asked_again: u32,
}

impl SagaView {
    fn of(waiting: &Waiting) -> Self {
        Self {
            order_id: waiting.order.0,
            status: waiting.status.as_str(),
            awaits: match waiting.status {
                Status::Cancelled => "release",
                _ => "reservation",
            },
            since: waiting.since,
            deadline: waiting.deadline,
            asked_again: waiting.asked_again,
        }
    }
}

refusals!(Refusals = LIST);

/// List the orders that wait for inventory, of all replicas, the longest waiting first.
#[utoipa::path(
    get, path = "/admin/v1/sagas", tag = "operations", operation_id = "listSagas",
    params(parameters::SagaState, parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = SagaList), Refusals)
)]
pub async fn list_sagas(
    State(admin): State<SagaAdmin>,
    uri: Uri,
) -> Result<Json<SagaList>, Problem> {
    let query = Query::of(&uri);
    let stuck = match query.get("state")? {
        None => None,
        Some("stuck") => Some(Stuck::at(admin.clock.now(), admin.stuck_after)),
        Some(_) => return Err(invalid("state must be stuck, or be left out")),
    };
    let limit = query.limit()?;
    let filter = WaitingFilter {
        stuck,
        after: query.get("cursor")?.map(cursor::order).transpose()?,
        // One more than the page holds tells whether there is a next page.
        limit: limit + 1,
    };
    let found = admin.sagas.waiting(&filter).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (page, has_more) = (&found[..found.len().min(limit)], found.len() > limit);
    let last = page.last().filter(|_| has_more);
    Ok(Json(SagaList {
        items: page.iter().map(SagaView::of).collect(),
        next_cursor: last.map(|last| cursor::of_order(last.since, last.order)),
    }))
}
