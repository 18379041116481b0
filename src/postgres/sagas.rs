//! The waiting sagas on PostgreSQL, found by the partial index of deadlines.

use std::sync::Arc;

use async_trait::async_trait;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use super::connections::Connections;
use super::types::{INFINITY, Millis};
use crate::ports::journal::JournalError;
use crate::ports::sagas::{Sagas, Stuck, Waiting, WaitingFilter};

const WAITING: &str = "
    SELECT id, status, updated_at, deadline_at, (saga ->> 'askedAgain')::integer FROM orders
    WHERE deadline_at IS NOT NULL AND (deadline_at < $1 OR updated_at < $2)
        AND (updated_at, id) > ($3, $4)
    ORDER BY updated_at, id LIMIT $5";

const COUNT_STUCK: &str = "
    SELECT count(*) FROM (
        SELECT FROM orders
        WHERE deadline_at IS NOT NULL AND (deadline_at < $1 OR updated_at < $2)
            AND shard = ANY ($3::smallint[])
        LIMIT $4) AS stuck";

/// The waiting sagas on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgSagas {
    lists: Arc<Connections>,
}

impl PgSagas {
    pub(super) fn new(lists: Arc<Connections>) -> Self {
        Self { lists }
    }
}

#[async_trait]
impl Sagas for PgSagas {
    async fn waiting(&self, filter: &WaitingFilter) -> Result<Vec<Waiting>, JournalError> {
        let (overdue, since) = filter.stuck.map_or((INFINITY, INFINITY), |stuck| {
            (Millis(stuck.overdue), Millis(stuck.waiting))
        });
        let after = filter
            .after
            .map_or((0, Uuid::nil()), |(at, id)| (at.0, id.0));
        let connection = self.lists.take().await?;
        let found = connection
            .run(async |connection| {
                sqlx::query_as::<_, (Uuid, String, Millis, Millis, Option<i32>)>(WAITING)
                    .bind(overdue)
                    .bind(since)
                    .bind(Millis(trackops_domain::time::Timestamp(after.0)))
                    .bind(after.1)
                    .bind(i64::from(filter.limit))
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let found = found
            .into_iter()
            .map(|(id, status, since, deadline, asked)| {
                let status = Status::parse(&status)
                    .ok_or_else(|| JournalError::Corrupt("impossible status".into()))?;
                Ok(Waiting {
                    order: OrderId(id),
                    status,
                    since: since.0,
                    deadline: deadline.0,
                    asked_again: asked.and_then(|n| n.try_into().ok()).unwrap_or(0),
                })
            });
        found.collect()
    }

    async fn count_stuck(
        &self,
        shards: &[ShardId],
        stuck: Stuck,
        max: u32,
    ) -> Result<u64, JournalError> {
        let shards: Vec<i16> = shards.iter().filter_map(|s| s.0.try_into().ok()).collect();
        let connection = self.lists.take().await?;
        let count: i64 = connection
            .run(async |connection| {
                sqlx::query_scalar(COUNT_STUCK)
                    .bind(Millis(stuck.overdue))
                    .bind(Millis(stuck.waiting))
                    .bind(&shards)
                    .bind(i64::from(max))
                    .fetch_one(connection)
                    .await
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
