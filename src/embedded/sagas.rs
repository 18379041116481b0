//! The waiting sagas on the file.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::db::Db;
use super::error::corrupt;
use super::text::json;
use crate::ports::journal::JournalError;
use crate::ports::sagas::{Sagas, Stuck, Waiting, WaitingFilter};

const WAITING: &str = "
    SELECT id, status, updated_at, deadline, saga ->> 'askedAgain' FROM orders
    WHERE deadline IS NOT NULL AND (deadline < ?1 OR updated_at < ?2)
        AND (updated_at, id) > (?3, ?4)
    ORDER BY updated_at, id LIMIT ?5";

const COUNT_STUCK: &str = "
    SELECT count(*) FROM (
        SELECT 1 FROM orders
        WHERE deadline IS NOT NULL AND (deadline < ?1 OR updated_at < ?2)
            AND shard IN (SELECT value FROM json_each(?3))
        LIMIT ?4)";

/// The waiting sagas on the file.
#[derive(Debug)]
pub(super) struct SqliteSagas(pub(super) Arc<Db>);

#[async_trait]
impl Sagas for SqliteSagas {
    async fn waiting(&self, filter: &WaitingFilter) -> Result<Vec<Waiting>, JournalError> {
        let any = Timestamp(i64::MAX);
        let (overdue, since) = filter
            .stuck
            .map_or((any, any), |stuck| (stuck.overdue, stuck.waiting));
        let (at, id) = filter
            .after
            .unwrap_or((Timestamp(i64::MIN), OrderId(Uuid::nil())));
        let rows = sqlx::query(WAITING)
            .bind(overdue.0)
            .bind(since.0)
            .bind(at.0)
            .bind(&id.0.as_bytes()[..])
            .bind(filter.limit)
            .fetch_all(&self.0.reads)
            .await
            .map_err(failed)?;
        let waiting = rows.iter().map(|row| waiting(row).map_err(failed));
        waiting.collect()
    }

    async fn count_stuck(
        &self,
        shards: &[ShardId],
        stuck: Stuck,
        max: u32,
    ) -> Result<u64, JournalError> {
        let shards: Vec<u16> = shards.iter().map(|shard| shard.0).collect();
        let count: i64 = sqlx::query_scalar(COUNT_STUCK)
            .bind(stuck.overdue.0)
            .bind(stuck.waiting.0)
            .bind(json(&shards))
            .bind(max)
            .fetch_one(&self.0.reads)
            .await
            .map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn waiting(row: &SqliteRow) -> sqlx::Result<Waiting> {
    Ok(Waiting {
        order: OrderId(row.try_get(0)?),
        status: Status::parse(row.try_get(1)?).ok_or_else(|| corrupt("status"))?,
        since: Timestamp(row.try_get(2)?),
        deadline: Timestamp(row.try_get(3)?),
        asked_again: row.try_get(4)?,
    })
}

fn failed(error: sqlx::Error) -> JournalError {
    match error {
        error @ (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) => {
            JournalError::Corrupt(error.into())
        }
        error => JournalError::Unavailable(error.into()),
    }
}
