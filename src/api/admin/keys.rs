//! API keys for operations: `/admin/v1/keys`.

use crate::api::schemas::{ApiKeyId, KeyName};
use crate::codec::schema::{CallerRole, CourierName, ShopName, Time};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use trackops_domain::access::{Caller, Role};
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::access_admin::AccessAdmin;
use super::private::{Private, private};
use crate::api::audited::AuditTarget;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::parameters;
use crate::api::params::Query;
use crate::api::problem::{Denied, Problem};
use crate::api::problem_code::Code;
use crate::api::request_headers::idempotency_key;
use crate::api::{cursor, etag, json};
use crate::auth::api_key::{self, NewKey};
use crate::auth::role_words::{self, RoleWords};
use crate::codec::content::FieldError;
use crate::codec::rfc3339;
use crate::model::access::ApiKey;

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKeyDraft)]
pub struct KeyBody {
    /// Whose it is: 1 to 64 visible ASCII characters without a colon, and not `anonymous`; shown in the history of orders.
    #[schema(value_type = KeyName, example = "till-3")]
    pub name: String,
    /// `customer`, `kitchen`, `courier`, `service`, `operator` or `viewer`.
    #[schema(value_type = CallerRole, example = "kitchen")]
    pub role: String,
    /// Of a kitchen: the shops whose orders it sees.
    #[serde(default)]
    #[schema(value_type = Option<Vec<ShopName>>, min_items = 1, max_items = 16)]
    pub shops: Option<Vec<String>>,
    /// Of a customer: whose orders it sees.
    #[serde(default)]
    pub customer_id: Option<uuid::Uuid>,
    /// Of a courier: whose orders it sees.
    #[serde(default)]
    #[schema(value_type = Option<CourierName>)]
    pub courier_id: Option<String>,
    /// From when on it isn't valid any more; for ever, unless given.
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    pub expires_at: Option<String>,
}

/// A key as shown. What it opens with is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
pub struct KeyView {
    /// The public part.
    #[schema(value_type = ApiKeyId)]
    pub id: String,
    /// Whose it is.
    #[schema(value_type = KeyName)]
    pub name: String,
    /// What it may do.
    #[schema(value_type = CallerRole)]
    pub role: &'static str,
    /// Of a kitchen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ShopName>>, nullable = false)]
    pub shops: Option<Vec<String>>,
    /// Of a customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub customer_id: Option<uuid::Uuid>,
    /// Of a courier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CourierName>, nullable = false)]
    pub courier_id: Option<String>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// From when on it isn't valid any more.
    #[serde(
        serialize_with = "rfc3339::serialize_some",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Time>, nullable = false)]
    pub expires_at: Option<Timestamp>,
    /// Since when it isn't valid any more, because it was revoked.
    #[serde(
        serialize_with = "rfc3339::serialize_some",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Time>, nullable = false)]
    pub revoked_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub struct MadeKey {
    /// The key itself, shown this once: `tk_<id>_<secret>`.
    #[schema(pattern = "^tk_[0-9a-f]{16}_[A-Za-z0-9_-]+$")]
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: KeyView,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKeyPage)]
pub struct KeyPage {
    /// By id.
    pub items: Vec<KeyView>,
    /// For the next page; null on the last one.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl KeyView {
    fn of(key: ApiKey) -> Self {
        let (mut shops, mut customer_id, mut courier_id) = (None, None, None);
        match &key.role {
            Role::Kitchen(ids) => shops = Some(ids.iter().map(ToString::to_string).collect()),
            Role::Customer(id) => customer_id = Some(id.0),
            Role::Courier(id) => courier_id = Some(id.to_string()),
            Role::Service | Role::Operator | Role::Viewer => {}
        }
        Self {
            role: key.role.name(),
            id: key.id,
            name: key.name,
            shops,
            customer_id,
            courier_id,
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}

refusals!(ListRefusals = LIST, UNCONDITIONAL);

/// List API keys, also those that aren't valid any more.
#[utoipa::path(
    get, path = "/admin/v1/keys", tag = "operations", operation_id = "listKeys",
    params(parameters::Cursor, parameters::Limit),
    responses((status = 200, description = "A page", body = KeyPage), ListRefusals)
)]
pub async fn list_keys(
    State(admin): State<AccessAdmin>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Private<KeyPage>, Problem> {
    etag::refuse_all(&headers)?;
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let after = query.get("cursor")?.map(cursor::key).transpose()?;
    // One more than the page holds tells whether there is a next page.
    let mut found = admin
        .store
        .list_keys(after.as_deref().unwrap_or_default(), limit + 1)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    Ok(private(KeyPage {
        next_cursor: last.map(|key| cursor::of_key(&key.id)),
        items: found.into_iter().map(KeyView::of).collect(),
    }))
}

refusals!(MakeRefusals = UNCONDITIONAL, UNUSED_KEY, BODY; Unavailable);

/// Make an API key.
///
/// The answer has the key, and nothing else ever does: who loses it makes another one. So a repeat would be
/// another key too, and an `Idempotency-Key` is refused.
#[utoipa::path(
    post, path = "/admin/v1/keys", tag = "operations", operation_id = "createKey",
    request_body = KeyBody,
    responses((status = 201, description = "Made", body = MadeKey), MakeRefusals)
)]
pub async fn make_key(
    State(admin): State<AccessAdmin>,
    By(caller): By,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    etag::refuse_all(&parts.headers)?;
    if idempotency_key(&parts.headers)?.is_some() {
        let detail = "a key can't be shown twice, so making one can't be repeated: leave it out";
        return Err(Problem::new(Code::InvalidIdempotencyKey, detail));
    }
    refuse_anonymous(&caller)?;
    let now = admin.clock.now();
    let by = caller.by().to_string();
    let check = |body: KeyBody| new_key(body, by, now);
    let new = json::read_checked(&parts.headers, body, check).await?;
    let (key, text) = api_key::create(new, now);
    admin.store.create_key(&key).await?;
    tracing::info!(
        key = key.id,
        name = key.name,
        role = key.role.name(),
        "a key was made"
    );
    let id = key.id.clone();
    let made = MadeKey {
        key: text.expose_secret().to_owned(),
        view: KeyView::of(key),
    };
    let mut response = (StatusCode::CREATED, private(made)).into_response();
    response.extensions_mut().insert(AuditTarget(id));
    Ok(response)
}

refusals!(RevokeRefusals = PARAMETERS, UNCONDITIONAL, UNUSED_KEY; KeyNotFound, Unavailable);

/// Revoke an API key.
///
/// It ends everywhere within two seconds, and so do the live connections that were opened with it. Revoking it
/// again changes nothing.
#[utoipa::path(
    post, path = "/admin/v1/keys/{id}/revoke", tag = "operations", operation_id = "revokeKey",
    params(parameters::KeyId, parameters::IdempotencyKey),
    responses((status = 200, description = "The key", body = KeyView), RevokeRefusals)
)]
pub async fn revoke_key(
    State(admin): State<AccessAdmin>,
    By(caller): By,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Private<KeyView>, Problem> {
    etag::refuse_all(&headers)?;
    idempotency_key(&headers)?;
    refuse_anonymous(&caller)?;
    let unknown = || Problem::new(Code::KeyNotFound, "no key has this id");
    if !api_key::is_id(&id) {
        return Err(unknown());
    }
    admin.store.revoke_key(&id, admin.clock.now()).await?;
    let key = admin.store.find_key(&id).await?;
    let key = key.ok_or_else(unknown)?;
    tracing::info!(key = key.id, "a key was revoked");
    Ok(private(KeyView::of(key)))
}

/// What anybody has made or revoked would still count once everybody needs a key.
fn refuse_anonymous(caller: &Caller) -> Result<(), Problem> {
    if !caller.is_anonymous() {
        return Ok(());
    }
    let detail =
        "where nobody has to prove an identity, keys are made and revoked by `trackops keys`";
    Err(Problem::new(Code::Forbidden, detail).denied(Denied::Role))
}

fn new_key(body: KeyBody, created_by: String, now: Timestamp) -> Result<NewKey, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut refuse = |pointer: &str, detail: &str| {
        errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    };
    if !role_words::is_name(&body.name) {
        refuse(
            "/name",
            "must be 1 to 64 visible ASCII characters without a colon, and not anonymous",
        );
    }
    let words = RoleWords {
        role: &body.role,
        shops: body.shops.as_deref(),
        customer: body.customer_id,
        courier: body.courier_id.as_deref(),
    };
    let role = words.read();
    if let Err((field, detail)) = &role {
        refuse(&format!("/{}", field.of_body()), detail);
    }
    let expires_at = match body.expires_at.as_deref().map(rfc3339::parse) {
        None => None,
        Some(Some(at)) if at > now => Some(at),
        Some(_) => {
            refuse(
                "/expiresAt",
                "must be an RFC 3339 timestamp that is still to come",
            );
            None
        }
    };
    match role {
        Ok(role) if errors.is_empty() => Ok(NewKey {
            name: body.name,
            role,
            created_by,
            expires_at,
        }),
        _ => Err(errors),
    }
}
