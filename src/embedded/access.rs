//! Keys and audit on the file.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use trackops_domain::time::Timestamp;

use super::db::Db;
use super::error::corrupt;
use crate::codec::role::RoleV1;
use crate::model::access::{ApiKey, AuditEntry};
use crate::ports::access::{AccessError, AccessStore};

pub(super) const CREATE: &str = "
    INSERT INTO api_keys (id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(super) const RISE: &str =
    "UPDATE access_revision SET revision = revision + 1 WHERE only_one = 1";

pub(super) const FIND: &str = "
    SELECT id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at
    FROM api_keys WHERE id = ?1";

pub(super) const LIST: &str = "
    SELECT id, name, role, salt, mac, created_at, created_by, expires_at, revoked_at
    FROM api_keys WHERE id > ?1 ORDER BY id LIMIT ?2";

pub(super) const REVOKE: &str =
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";

pub(super) const REVISION: &str = "SELECT revision FROM access_revision WHERE only_one = 1";

pub(super) const APPEND_AUDIT: &str = "
    INSERT INTO audit (at, who, action, target, outcome, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const LIST_AUDIT: &str = "
    SELECT number, at, who, action, target, outcome, count
    FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2";

/// Keys and audit on the file.
#[derive(Debug)]
pub(super) struct SqliteAccess(pub(super) Arc<Db>);

#[async_trait]
impl AccessStore for SqliteAccess {
    async fn create_key(&self, key: &ApiKey) -> Result<(), AccessError> {
        let key = key.clone();
        let role = serde_json::to_string(&RoleV1::of(&key.role)).unwrap_or_default();
        let created = self.0.writer.write(move |conn| {
            async move {
                sqlx::query(CREATE)
                    .bind(&key.id)
                    .bind(&key.name)
                    .bind(role)
                    .bind(&key.salt[..])
                    .bind(&key.mac[..])
                    .bind(key.created_at.0)
                    .bind(&key.created_by)
                    .bind(key.expires_at.map(|at| at.0))
                    .bind(key.revoked_at.map(|at| at.0))
                    .execute(&mut *conn)
                    .await?;
                sqlx::query(RISE).execute(conn).await.map(drop)
            }
            .boxed()
        });
        created.await.map_err(away)
    }

    async fn find_key(&self, id: &str) -> Result<Option<ApiKey>, AccessError> {
        let found = sqlx::query(FIND).bind(id).fetch_optional(&self.0.reads);
        let found = found.await.map_err(failed)?;
        let key = found.as_ref().map(|row| key(row).map_err(failed));
        key.transpose()
    }

    async fn list_keys(&self, after: &str, limit: u32) -> Result<Vec<ApiKey>, AccessError> {
        let list = sqlx::query(LIST).bind(after).bind(limit);
        let found = list.fetch_all(&self.0.reads).await.map_err(failed)?;
        found.iter().map(|row| key(row).map_err(failed)).collect()
    }

    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, AccessError> {
        let id = id.to_owned();
        let revoked = self.0.writer.write(move |conn| {
            async move {
                let revoke = sqlx::query(REVOKE).bind(id).bind(at.0);
                let is_there = revoke.execute(&mut *conn).await?.rows_affected() > 0;
                sqlx::query(RISE).execute(conn).await?;
                Ok(is_there)
            }
            .boxed()
        });
        revoked.await.map_err(away)
    }

    async fn revision(&self) -> Result<i64, AccessError> {
        let revision = sqlx::query_scalar(REVISION).fetch_one(&self.0.reads);
        revision.await.map_err(failed)
    }

    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), AccessError> {
        let entries = entries.to_vec();
        let appended = self.0.writer.write(move |conn| {
            async move {
                for entry in entries {
                    sqlx::query(APPEND_AUDIT)
                        .bind(entry.at.0)
                        .bind(entry.who)
                        .bind(entry.action)
                        .bind(entry.target)
                        .bind(entry.outcome)
                        .bind(entry.count)
                        .execute(&mut *conn)
                        .await?;
                }
                Ok(())
            }
            .boxed()
        });
        appended.await.map_err(away)
    }

    async fn list_audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, AuditEntry)>, AccessError> {
        let list = sqlx::query(LIST_AUDIT).bind(before.unwrap_or(i64::MAX));
        let found = list.bind(limit).fetch_all(&self.0.reads);
        let found = found.await.map_err(failed)?;
        found.iter().map(|row| entry(row).map_err(failed)).collect()
    }
}

fn key(row: &SqliteRow) -> sqlx::Result<ApiKey> {
    let role: &str = row.try_get(2)?;
    let role: RoleV1 = serde_json::from_str(role).map_err(|_| corrupt("role"))?;
    let bytes = |column| row.try_get::<Vec<u8>, _>(column);
    Ok(ApiKey {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        role: role.read().ok_or_else(|| corrupt("role"))?,
        salt: bytes(3)?.try_into().map_err(|_| corrupt("salt"))?,
        mac: bytes(4)?.try_into().map_err(|_| corrupt("mac"))?,
        created_at: Timestamp(row.try_get(5)?),
        created_by: row.try_get(6)?,
        expires_at: row.try_get::<Option<i64>, _>(7)?.map(Timestamp),
        revoked_at: row.try_get::<Option<i64>, _>(8)?.map(Timestamp),
    })
}

fn entry(row: &SqliteRow) -> sqlx::Result<(i64, AuditEntry)> {
    let entry = AuditEntry {
        at: Timestamp(row.try_get(1)?),
        who: row.try_get(2)?,
        action: row.try_get(3)?,
        target: row.try_get(4)?,
        outcome: row.try_get(5)?,
        count: row.try_get(6)?,
    };
    Ok((row.try_get(0)?, entry))
}

fn away(error: super::error::WriteError) -> AccessError {
    AccessError::Unavailable(error.into())
}

fn failed(error: sqlx::Error) -> AccessError {
    match error {
        error @ (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
            AccessError::Corrupt(error.into())
        }
        error => AccessError::Unavailable(error.into()),
    }
}
