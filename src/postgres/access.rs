//! Keys and audit on PostgreSQL (in the orders' database).

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use trackops_domain::time::Timestamp;

use super::connections::Connections;
use super::error::Failure;
use super::types::{Json, Millis};
use crate::codec::role::RoleV1;
use crate::model::access::{ApiKey, AuditEntry};
use crate::ports::access::{AccessError, AccessStore};

const CREATE: &str = "
    WITH risen AS (UPDATE access_revision SET revision = revision + 1)
    INSERT INTO api_keys (id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const FIND: &str = "
    SELECT id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at
    FROM api_keys WHERE id = $1";

const LIST: &str = "
    SELECT id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at
    FROM api_keys WHERE id > $1 ORDER BY id LIMIT $2";

const REVOKE: &str = "
    WITH ended AS (
        UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id),
    risen AS (
        UPDATE access_revision SET revision = revision + 1 WHERE EXISTS (SELECT FROM ended))
    SELECT EXISTS (SELECT FROM api_keys WHERE id = $1)";

const REVISION: &str = "SELECT revision FROM access_revision WHERE one_row";

const APPEND_AUDIT: &str = "
    INSERT INTO audit (at, who, action, target, outcome, count)
    SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[])";

const LIST_AUDIT: &str = "
    SELECT number, at, who, action, target, outcome, count
    FROM audit WHERE number < $1 ORDER BY number DESC LIMIT $2";

/// Keys and audit on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgAccess {
    connections: Arc<Connections>,
}

impl PgAccess {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl AccessStore for PgAccess {
    async fn create_key(&self, key: &ApiKey) -> Result<(), AccessError> {
        let role = serde_json::to_vec(&RoleV1::of(&key.role)).unwrap_or_default();
        let connection = self.connections.take().await.map_err(away)?;
        connection
            .run(async |connection| {
                sqlx::query(CREATE)
                    .bind(&key.id)
                    .bind(&key.name)
                    .bind(Json(&role))
                    .bind(&key.salt[..])
                    .bind(&key.mac[..])
                    .bind(Millis(key.created_at))
                    .bind(&key.created_by)
                    .bind(key.expires_at.map(Millis))
                    .bind(key.revoked_at.map(Millis))
                    .execute(connection)
                    .await
            })
            .await
            .map(drop)
            .map_err(away)
    }

    async fn find_key(&self, id: &str) -> Result<Option<ApiKey>, AccessError> {
        let connection = self.connections.take().await.map_err(away)?;
        let found = connection
            .run(async |connection| sqlx::query(FIND).bind(id).fetch_optional(connection).await)
            .await
            .map_err(away)?;
        found.as_ref().map(key).transpose()
    }

    async fn list_keys(&self, after: &str, limit: u32) -> Result<Vec<ApiKey>, AccessError> {
        let connection = self.connections.take().await.map_err(away)?;
        let found = connection
            .run(async |connection| {
                let list = sqlx::query(LIST).bind(after).bind(i64::from(limit));
                list.fetch_all(connection).await
            })
            .await
            .map_err(away)?;
        found.iter().map(key).collect()
    }

    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, AccessError> {
        let connection = self.connections.take().await.map_err(away)?;
        connection
            .run(async |connection| {
                let revoke = sqlx::query_scalar(REVOKE).bind(id).bind(Millis(at));
                revoke.fetch_one(connection).await
            })
            .await
            .map_err(away)
    }

    async fn revision(&self) -> Result<i64, AccessError> {
        let connection = self.connections.take().await.map_err(away)?;
        connection
            .run(async |connection| sqlx::query_scalar(REVISION).fetch_one(connection).await)
            .await
            .map_err(away)
    }

    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), AccessError> {
        let texts = |of: fn(&AuditEntry) -> &str| entries.iter().map(of).collect::<Vec<_>>();
        let times: Vec<Millis> = entries.iter().map(|entry| Millis(entry.at)).collect();
        let count = |entry: &AuditEntry| i32::try_from(entry.count).unwrap_or(i32::MAX);
        let counts: Vec<i32> = entries.iter().map(count).collect();
        let connection = self.connections.take().await.map_err(away)?;
        connection
            .run(async |connection| {
                sqlx::query(APPEND_AUDIT)
                    .bind(times)
                    .bind(texts(|entry| &entry.who))
                    .bind(texts(|entry| &entry.action))
                    .bind(texts(|entry| &entry.target))
                    .bind(texts(|entry| &entry.outcome))
                    .bind(counts)
                    .execute(connection)
                    .await
            })
            .await
            .map(drop)
            .map_err(away)
    }

    async fn list_audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, AuditEntry)>, AccessError> {
        let connection = self.connections.take().await.map_err(away)?;
        let found = connection
            .run(async |connection| {
                let list = sqlx::query(LIST_AUDIT).bind(before.unwrap_or(i64::MAX));
                list.bind(i64::from(limit)).fetch_all(connection).await
            })
            .await
            .map_err(away)?;
        found.iter().map(entry).collect()
    }
}

fn key(row: &PgRow) -> Result<ApiKey, AccessError> {
    let role: Json<'_> = row.try_get(2).map_err(corrupt)?;
    let role: RoleV1 = serde_json::from_slice(role.0).map_err(corrupt)?;
    let millis = |at: Option<Millis>| at.map(|at| at.0);
    Ok(ApiKey {
        id: row.try_get(0).map_err(corrupt)?,
        name: row.try_get(1).map_err(corrupt)?,
        role: role.read().ok_or_else(|| corrupt("an unknown role"))?,
        salt: row.try_get(3).map_err(corrupt)?,
        mac: row.try_get(4).map_err(corrupt)?,
        created_at: row.try_get::<Millis, _>(5).map_err(corrupt)?.0,
        created_by: row.try_get(6).map_err(corrupt)?,
        expires_at: row.try_get(7).map(millis).map_err(corrupt)?,
        revoked_at: row.try_get(8).map(millis).map_err(corrupt)?,
    })
}

fn entry(row: &PgRow) -> Result<(i64, AuditEntry), AccessError> {
    let count: i32 = row.try_get(6).map_err(corrupt)?;
    let entry = AuditEntry {
        at: row.try_get::<Millis, _>(1).map_err(corrupt)?.0,
        who: row.try_get(2).map_err(corrupt)?,
        action: row.try_get(3).map_err(corrupt)?,
        target: row.try_get(4).map_err(corrupt)?,
        outcome: row.try_get(5).map_err(corrupt)?,
        count: u32::try_from(count).unwrap_or(0),
    };
    Ok((row.try_get(0).map_err(corrupt)?, entry))
}

fn away(failure: Failure) -> AccessError {
    AccessError::Unavailable(failure.into())
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AccessError {
    AccessError::Corrupt(error.into())
}
