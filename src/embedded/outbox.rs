//! The outboxes of orders and inventory: one table, in which each row names its owner.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;
use trackops_domain::ids::OrderId;
use trackops_domain::time::Timestamp;

use super::db::Db;
use super::error::WriteError;
use super::outbox_owner::Owner;
use super::shared_clock::SharedClock;
use super::text::{hex, json, plain, stored_json};
use super::{lanes, outbox_rows as rows};
use crate::model::outbox_row::{OutboxRow, RowId};
use crate::ports::clock::Clock;
use crate::ports::outbox::{
    Fetched, OUTBOX_LANES, Outbox, OutboxError, OutboxStats, UnreadableRow, Wanted,
};

pub(super) const INSERT: &str = "
    INSERT INTO outbox (owner, lane, order_id, message_id, topic, version, ordinal, at, payload,
                        traceparent, inserted_at)
    SELECT ?2, value ->> 0, unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4,
           value ->> 5, value ->> 6, value ->> 7, value ->> 8, ?3
    FROM json_each(?1)
    ORDER BY key";

/// One owner's outbox.
#[derive(Debug)]
pub(super) struct SqliteOutbox {
    db: Arc<Db>,
    owner: Owner,
    clock: SharedClock,
    /// It stores one wake-up: the relay's next wait sees an announcement that came while it worked.
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

    async fn remove(&self, removed: &[RowId]) -> Result<(), WriteError> {
        if removed.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = removed.iter().map(|row| row.seq).collect();
        let remove = self
            .db
            .writer
            .write_repeatable(move |conn| async move { rows::remove(conn, &seqs).await }.boxed());
        remove.await
    }
}

/// Adds `messages`, each with its order and the number that decides its outbox lane.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    owner: Owner,
    messages: &[(OrderId, u16, &OutboxRow)],
    now: Timestamp,
) -> sqlx::Result<()> {
    let rows = messages
        .iter()
        .map(|(order, place, row)| message(*order, place % OUTBOX_LANES, row))
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

/// Ends every lease: the holders belonged to a process that is gone.
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

    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError> {
        let (removed, fetched) = tokio::join!(
            self.remove(removed),
            rows::fetch(&self.db.reads, self.owner, removed, wanted),
        );
        removed.map_err(|error| OutboxError(error.into()))?;
        fetched.map_err(|error| OutboxError(error.into()))
    }

    async fn set_aside(&self, rows: &[UnreadableRow]) -> Result<(), OutboxError> {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.row_id.seq, row.reason.clone()))
            .collect();
        let moved = self
            .db
            .writer
            .write(move |conn| async move { rows::set_aside(conn, &rows).await }.boxed());
        moved.await.map_err(|error| OutboxError(error.into()))
    }

    async fn take_back(&self, lanes: &[u16]) -> Result<u64, OutboxError> {
        let (owner, lanes) = (self.owner, json(&lanes));
        let back = self
            .db
            .writer
            .write(move |conn| async move { rows::take_back(conn, owner, lanes).await }.boxed());
        back.await.map_err(|error| OutboxError(error.into()))
    }

    async fn wait(&self, timeout: Duration) {
        // A signal and a time-out are both a reason to look, so the outcome doesn't matter.
        drop(tokio::time::timeout(timeout, self.work.notified()).await);
    }

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        let stats = rows::stats(&self.db.reads, self.owner).await;
        let (pending, oldest, set_aside) = stats.map_err(|error| OutboxError(error.into()))?;
        Ok(OutboxStats {
            pending: u64::try_from(pending).unwrap_or(0),
            oldest_age: oldest.map(|at| self.clock.now().since(Timestamp(at))),
            set_aside: u64::try_from(set_aside).unwrap_or(0),
        })
    }
}
