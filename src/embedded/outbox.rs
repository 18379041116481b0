//! The outboxes of orders and inventory: one table, told apart by its owner.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::Notify;
use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;

use super::db::Db;
use super::error::{WriteError, corrupt};
use super::lanes;
use super::text::{hex, json, plain, stored_json};
use crate::codec::topics::Topic;
use crate::ports::clock::Clock;
use crate::ports::outbox::{LANES, Outbox, OutboxEntry, OutboxError, OutboxRow, OutboxStats};

pub(super) const INSERT: &str = "
    INSERT INTO outbox (owner, lane, order_id, message_id, topic, version, ordinal, at, payload,
                        traceparent, inserted_at)
    SELECT ?2, value ->> 0, unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4,
           value ->> 5, value ->> 6, value ->> 7, value ->> 8, ?3
    FROM json_each(?1)
    ORDER BY key";

pub(super) const FETCH: &str = "
    SELECT seq, order_id, message_id, topic, version, ordinal, at, payload, traceparent
    FROM outbox
    WHERE owner = ?1 AND lane = ?2
    ORDER BY seq
    LIMIT ?3";

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Orders,
    Inventory,
}

impl Owner {
    /// As stored.
    pub(super) const fn id(self) -> i64 {
        match self {
            Self::Orders => 0,
            Self::Inventory => 1,
        }
    }
}

/// One owner's outbox.
#[derive(Debug)]
pub(super) struct SqliteOutbox {
    db: Arc<Db>,
    owner: Owner,
    clock: super::SharedClock,
    /// Keeps one permit: what is announced while the relay works is seen at its next wait.
    work: Notify,
}

impl SqliteOutbox {
    pub(super) fn new(db: Arc<Db>, owner: Owner, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            owner,
            clock: clock.into(),
            work: Notify::new(),
        }
    }

    /// Wakes the relay.
    pub(super) fn announce(&self) {
        self.work.notify_one();
    }
}

/// Adds `messages`, each with its order and the number that its lane is taken from.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    owner: Owner,
    messages: &[(OrderId, u16, &OutboxRow)],
    now: Timestamp,
) -> sqlx::Result<()> {
    let rows = messages
        .iter()
        .map(|(order, place, row)| message(*order, place % LANES, row))
        .collect::<sqlx::Result<Vec<_>>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(json(&rows))
        .bind(owner.id())
        .bind(now.0)
        .execute(conn)
        .await
        .map(drop)
}

fn message(order: OrderId, lane: u16, row: &OutboxRow) -> sqlx::Result<Value> {
    Ok(json!([
        lane,
        hex(order.0),
        hex(row.id.0),
        row.topic.as_str(),
        row.version,
        row.ordinal,
        row.at.0,
        stored_json(&row.payload)?,
        row.traceparent.as_deref().map(plain).transpose()?,
    ]))
}

/// Ends every lease: those who held them were of a process that is gone.
pub(super) async fn forget_leases(db: &Db) -> Result<(), WriteError> {
    let forget = db.writer.write(|conn| {
        async move {
            sqlx::raw_sql("DELETE FROM outbox_lanes; DELETE FROM outbox_holders;")
                .execute(conn)
                .await
                .map(drop)
        }
        .boxed()
    });
    forget.await
}

#[async_trait]
impl Outbox for SqliteOutbox {
    fn name(&self) -> &'static str {
        match self.owner {
            Owner::Orders => "orders",
            Owner::Inventory => "inventory",
        }
    }

    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError> {
        let (owner, holder, now) = (self.owner, holder.to_owned(), self.clock.now());
        let leased = self.db.writer.write_repeatable(move |conn| {
            async move { lanes::lease(conn, owner, &holder, now, now.plus(ttl)).await }.boxed()
        });
        leased.await.map_err(|error| OutboxError(error.into()))
    }

    async fn release(&self, holder: &str) -> Result<(), OutboxError> {
        let (owner, holder) = (self.owner, holder.to_owned());
        let released = self.db.writer.write_repeatable(move |conn| {
            async move { lanes::release(conn, owner, &holder).await }.boxed()
        });
        released.await.map_err(|error| OutboxError(error.into()))
    }

    async fn fetch(&self, lane: u16, limit: u32) -> Result<Vec<OutboxEntry>, OutboxError> {
        let rows = sqlx::query(FETCH)
            .bind(self.owner.id())
            .bind(lane)
            .bind(limit)
            .fetch_all(&self.db.reads)
            .await;
        rows.and_then(|rows| rows.iter().map(entry).collect())
            .map_err(|error| OutboxError(error.into()))
    }

    async fn acknowledge(&self, seqs: &[i64]) -> Result<(), OutboxError> {
        let (owner, seqs) = (self.owner, json(&seqs));
        let removed = self.db.writer.write_repeatable(move |conn| {
            async move {
                sqlx::query(
                    "DELETE FROM outbox WHERE owner = ?1
                     AND seq IN (SELECT value FROM json_each(?2))",
                )
                .bind(owner.id())
                .bind(seqs)
                .execute(conn)
                .await
                .map(drop)
            }
            .boxed()
        });
        removed.await.map_err(|error| OutboxError(error.into()))
    }

    async fn wait(&self, timeout: Duration) {
        // Either is a reason to look; which one it was changes nothing.
        drop(tokio::time::timeout(timeout, self.work.notified()).await);
    }

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        let stats: Result<(i64, Option<i64>), _> =
            sqlx::query_as("SELECT count(*), min(inserted_at) FROM outbox WHERE owner = ?1")
                .bind(self.owner.id())
                .fetch_one(&self.db.reads)
                .await;
        let (pending, oldest) = stats.map_err(|error| OutboxError(error.into()))?;
        Ok(OutboxStats {
            pending: u64::try_from(pending).unwrap_or(0),
            oldest_age: oldest.map(|at| self.clock.now().since(Timestamp(at))),
        })
    }
}

fn entry(row: &SqliteRow) -> sqlx::Result<OutboxEntry> {
    let payload: &[u8] = row.try_get(7)?;
    let traceparent: Option<&str> = row.try_get(8)?;
    Ok(OutboxEntry {
        seq: row.try_get(0)?,
        order: OrderId(row.try_get(1)?),
        row: OutboxRow {
            id: MessageId(row.try_get(2)?),
            topic: Topic::parse(row.try_get(3)?).ok_or_else(|| corrupt("unknown topic"))?,
            version: row.try_get(4)?,
            ordinal: row.try_get(5)?,
            at: Timestamp(row.try_get(6)?),
            payload: bytes::Bytes::copy_from_slice(payload),
            traceparent: traceparent.map(Into::into),
        },
    })
}
