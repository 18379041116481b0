//! `/admin/v1/dead-letters`: list, show, send again.

use crate::codec::schema::{Time, TopicName};
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::dead_letter_admin::{
    DeadLetter, DeadLetterAdmin, DeadLetterAdminError, DeadLetterId, LIST_MAX,
};
use super::private::{Private, private};
use crate::api::cursor;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::{self, LIMIT_MAX, Query};
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::api::problem_of;
use crate::api::request_headers::idempotency_key;

const _: () = assert!(LIST_MAX == LIMIT_MAX as usize, "a page is a page");

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetterPage)]
pub struct DeadLetterList {
    /// By topic, partition and offset.
    pub items: Vec<DeadLetterView>,
    /// For the next page, which may be empty; null if this page isn't full.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A message that could not be handled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetter)]
pub struct DeadLetterView {
    /// Its place, as in the path: `<topic>/<partition>/<offset>`.
    pub id: String,
    /// The topic that it came from.
    #[schema(value_type = TopicName)]
    pub topic: String,
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
    /// Where it stood in its own topic.
    #[schema(required)]
    pub origin: Option<OriginView>,
    /// Its key, an order's id as a rule.
    #[schema(required)]
    pub key: Option<String>,
    /// Short stable name of what was wrong.
    pub code: String,
    /// What was wrong.
    pub reason: String,
    /// The consumer group that could not handle it.
    pub group: String,
    /// When it was parked.
    #[schema(value_type = Time)]
    pub parked_at: String,
    /// Where it first stood, if it had been sent again before.
    #[schema(required)]
    pub sent_again: Option<String>,
    /// Its size in bytes, if it was too large to be parked whole.
    #[schema(required)]
    pub payload_left_out: Option<String>,
    /// Its own headers.
    pub headers: BTreeMap<String, String>,
    /// Its value as text.
    #[schema(required)]
    pub payload: Option<String>,
}

/// A place in a topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterOrigin)]
pub struct OriginView {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A dead letter that was sent again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResentDeadLetter)]
pub struct SentView {
    /// The topic that it went to.
    #[schema(value_type = TopicName)]
    pub topic: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            topic: letter.id.topic,
            partition: letter.id.partition,
            offset: letter.id.offset,
            origin: letter
                .origin
                .map(|(partition, offset)| OriginView { partition, offset }),
            key: letter.key,
            code: letter.code,
            reason: letter.reason,
            group: letter.group,
            parked_at: letter.parked_at,
            sent_again: letter.sent_again,
            payload_left_out: letter.payload_left_out,
            headers: letter.headers,
            payload: letter.payload,
        }
    }
}

impl From<DeadLetterAdminError> for Problem {
    fn from(error: DeadLetterAdminError) -> Self {
        match &error {
            DeadLetterAdminError::Unavailable(_) => problem_of::unavailable(&error),
            DeadLetterAdminError::UnknownTopic => {
                Self::new(Code::InvalidParameter, error.to_string())
            }
            DeadLetterAdminError::NotFound => {
                Self::new(Code::DeadLetterNotFound, error.to_string())
            }
            DeadLetterAdminError::LeftOut => Self::new(Code::ContentLeftOut, error.to_string()),
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

refusals!(ListRefusals = LIST);

/// List dead letters.
#[utoipa::path(
    get, path = "/admin/v1/dead-letters", tag = "operations", operation_id = "listDeadLetters",
    params(parameters::Topic, parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "Dead letters", body = DeadLetterList), ListRefusals)
)]
pub async fn list_dead_letters(
    State(admin): State<Arc<dyn DeadLetterAdmin>>,
    uri: Uri,
) -> Result<Private<DeadLetterList>, Problem> {
    let query = Query::of(&uri);
    let limit = usize::try_from(query.limit()?).unwrap_or(LIST_MAX);
    let from = query.get("cursor")?.map(cursor::letter).transpose()?;
    let letters = admin
        .list(query.get("topic")?, from.as_ref(), limit)
        .await?;
    let last = letters.last().filter(|_| letters.len() == limit);
    Ok(private(DeadLetterList {
        next_cursor: last.map(|letter| cursor::after_letter(&letter.id)),
        items: letters.into_iter().map(Into::into).collect(),
    }))
}

refusals!(ShowRefusals = PARAMETERS; DeadLetterNotFound, Unavailable);

/// Show a dead letter.
#[utoipa::path(
    get, path = "/admin/v1/dead-letters/{topic}/{partition}/{offset}", tag = "operations", operation_id = "getDeadLetter",
    params(parameters::LetterTopic, parameters::LetterPartition, parameters::LetterOffset),
    responses((status = 200, description = "The dead letter", body = DeadLetterView), ShowRefusals)
)]
pub async fn get_dead_letter(
    State(admin): State<Arc<dyn DeadLetterAdmin>>,
    LetterPath(id): LetterPath,
) -> Result<Private<DeadLetterView>, Problem> {
    let letter = admin
        .show(&id)
        .await?
        .ok_or(DeadLetterAdminError::NotFound)?;
    Ok(private(letter.into()))
}

refusals!(SendRefusals = PARAMETERS, UNCONDITIONAL, UNUSED_KEY; DeadLetterNotFound, ContentLeftOut, Unavailable);

/// Publish a dead letter to its topic again.
#[utoipa::path(
    post, path = "/admin/v1/dead-letters/{topic}/{partition}/{offset}/send", tag = "operations", operation_id = "resendDeadLetter",
    params(parameters::LetterTopic, parameters::LetterPartition, parameters::LetterOffset, parameters::IdempotencyKey),
    responses((status = 200, description = "The bus has acknowledged it", body = SentView),
        SendRefusals)
)]
pub async fn send_dead_letter(
    State(admin): State<Arc<dyn DeadLetterAdmin>>,
    LetterPath(id): LetterPath,
    headers: HeaderMap,
) -> Result<Json<SentView>, Problem> {
    etag::refuse_all(&headers)?;
    idempotency_key(&headers)?;
    admin.send_again(&id).await?;
    tracing::info!(
        topic = id.topic,
        partition = id.partition,
        offset = id.offset,
        "dead letter sent again"
    );
    Ok(Json(SentView { topic: id.topic }))
}
