//! `/admin/v1/dead-letters`: list, show, send again.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::dead_letter_desk::{DeadLetter, DeadLetterDesk, DeadLetterId, DeskError, LIST_MAX};
use crate::api::openapi::ReadErrors;
use crate::api::params::{self, LIMIT_MAX, Query};
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::problem_of;
use crate::api::request_headers::idempotency_key;
use crate::codec::rfc3339;

const _: () = assert!(LIST_MAX == LIMIT_MAX as usize, "a page is a page");

/// Some dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterList {
    /// The dead letters, oldest first within a topic and partition.
    pub items: Vec<DeadLetterView>,
}

/// A message that could not be handled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterView {
    /// Its place, as in the path: `<topic>/<partition>/<offset>`.
    pub id: String,
    /// The topic that it was meant for.
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Its key, an order's id as a rule.
    #[schema(required)]
    pub key: Option<String>,
    /// Why it was parked.
    pub reason: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub parked_at: Timestamp,
    /// Its headers, with those that say where it came from.
    pub headers: BTreeMap<String, String>,
    /// Its value as text.
    #[schema(required)]
    pub payload: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentView {
    /// The topic that it went to.
    pub topic: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetterId {
            topic,
            partition,
            offset,
        } = letter.id;
        Self {
            id: format!("{topic}/{partition}/{offset}"),
            topic,
            partition,
            offset,
            key: letter.key,
            reason: letter.reason,
            parked_at: letter.parked_at,
            headers: letter.headers,
            payload: letter.payload,
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match &error {
            DeskError::Unavailable(_) => problem_of::unavailable(&error),
            DeskError::UnknownTopic => Self::new(Code::InvalidParameter, error.to_string()),
        }
    }
}

/// The `{topic}/{partition}/{offset}` of a dead letter's path.
pub struct LetterPath(DeadLetterId);

impl<S: Send + Sync> FromRequestParts<S> for LetterPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, i32, i64)>::from_request_parts(parts, state).await;
        let Path((topic, partition, offset)) = path.map_err(|_| {
            params::invalid("partition and offset in the path must be whole numbers")
        })?;
        Ok(Self(DeadLetterId {
            topic,
            partition,
            offset,
        }))
    }
}

/// List dead letters.
#[utoipa::path(
    get, path = "/admin/v1/dead-letters", tag = "operations",
    params(("topic" = Option<String>, Query, description = "Only of this topic, without `.dlq`"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 unless given",
            minimum = 1, maximum = 200)),
    responses((status = 200, description = "Dead letters", body = DeadLetterList), ReadErrors)
)]
pub async fn list_dead_letters(
    State(desk): State<Arc<dyn DeadLetterDesk>>,
    uri: Uri,
) -> Result<Json<DeadLetterList>, Problem> {
    let query = Query::of(&uri);
    let limit = usize::try_from(query.limit()?).unwrap_or(LIST_MAX);
    let letters = desk.list(query.get("topic"), limit).await?;
    Ok(Json(DeadLetterList {
        items: letters.into_iter().map(Into::into).collect(),
    }))
}

/// Show a dead letter.
#[utoipa::path(
    get, path = "/admin/v1/dead-letters/{topic}/{partition}/{offset}", tag = "operations",
    params(("topic" = String, Path, description = "The topic, without `.dlq`"),
        ("partition" = i32, Path, description = "Partition of the dead-letter topic"),
        ("offset" = i64, Path, description = "Offset there")),
    responses((status = 200, description = "The dead letter", body = DeadLetterView), ReadErrors)
)]
pub async fn get_dead_letter(
    State(desk): State<Arc<dyn DeadLetterDesk>>,
    LetterPath(id): LetterPath,
) -> Result<Json<DeadLetterView>, Problem> {
    let letter = desk.show(&id).await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(letter.into()))
}

/// Publish a dead letter to its topic again.
#[utoipa::path(
    post, path = "/admin/v1/dead-letters/{topic}/{partition}/{offset}/send", tag = "operations",
    params(("topic" = String, Path, description = "The topic, without `.dlq`"),
        ("partition" = i32, Path, description = "Partition of the dead-letter topic"),
        ("offset" = i64, Path, description = "Offset there")),
    responses((status = 200, description = "The bus has acknowledged it", body = SentView),
        ReadErrors)
)]
pub async fn send_dead_letter(
    State(desk): State<Arc<dyn DeadLetterDesk>>,
    LetterPath(id): LetterPath,
    headers: HeaderMap,
) -> Result<Json<SentView>, Problem> {
    idempotency_key(&headers)?;
    if !desk.send_again(&id).await? {
        return Err(unknown(&id));
    }
    tracing::info!(
        topic = id.topic,
        partition = id.partition,
        offset = id.offset,
        "dead letter sent again"
    );
    Ok(Json(SentView { topic: id.topic }))
}

fn unknown(id: &DeadLetterId) -> Problem {
    let detail = format!(
        "no dead letter of {} at partition {}, offset {}",
        id.topic, id.partition, id.offset
    );
    Problem::new(Code::DeadLetterNotFound, detail)
}
