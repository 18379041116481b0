//! `GET /admin/v1/audit`.

use crate::codec::schema::Time;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::access_admin::AccessAdmin;
use super::private::{Private, private};
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::Query;
use crate::api::problem::Problem;
use crate::api::{cursor, etag};
use crate::codec::rfc3339;
use crate::model::access::AuditEntry;

/// A page of what was done and denied.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<AuditView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// Something that operations did, or that was denied.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub struct AuditView {
    /// When; of several, when the first was.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
    /// Who: `role:name`, or `nobody`.
    pub who: String,
    /// A method, or the name of a command.
    pub action: String,
    /// The path, or the id of a key.
    pub target: String,
    /// `done`, `failed: <status>` or `denied: <why>`.
    pub outcome: String,
    /// How often within the second.
    pub count: u32,
}

impl AuditView {
    fn of(entry: AuditEntry) -> Self {
        Self {
            at: entry.at,
            who: entry.who,
            action: entry.action,
            target: entry.target,
            outcome: entry.outcome,
            count: entry.count,
        }
    }
}

refusals!(Refusals = LIST, UNCONDITIONAL);

/// List what operations did and what was denied, newest first.
#[utoipa::path(
    get, path = "/admin/v1/audit", tag = "operations", operation_id = "listAudit",
    params(parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = AuditPage), Refusals)
)]
pub async fn list_audit(
    State(admin): State<AccessAdmin>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Private<AuditPage>, Problem> {
    etag::refuse_all(&headers)?;
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let before = query.get("cursor")?.map(cursor::number).transpose()?;
    // One more than the page holds tells whether there is a next page.
    let mut found = admin.store.list_audit(before, limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    Ok(private(AuditPage {
        next_cursor: last.map(|(number, _)| cursor::before_number(*number)),
        items: found
            .into_iter()
            .map(|(_, entry)| AuditView::of(entry))
            .collect(),
    }))
}
