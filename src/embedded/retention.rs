//! Removes settled orders and reservations, and old adjustments, from the file. Each page is one request to
//! the writer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use sqlx::sqlite::SqliteConnection;
use tokio::time::Instant;
use trackops_domain::saga::Stock;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::db::Db;
use super::text::{hex, json};
use crate::ports::retention::{Cursor, Mode, Page, Retention, RetentionError};

/// The final statuses; each has a walk of its own.
const FINAL: [Status; 3] = [Status::Delivered, Status::Rejected, Status::Cancelled];

/// Finds final orders that await nothing and whose stock is settled: no append comes for them any more.
pub(super) const ORDERS: &str = "
    SELECT id, created_at,
           updated_at < ?4 AND deadline IS NULL
           AND saga ->> 'stock' NOT IN (SELECT value FROM json_each(?6)) AS settled
    FROM orders
    WHERE status = ?1 AND (created_at, id) > (?2, ?3) AND created_at < ?4
    ORDER BY created_at, id LIMIT ?5";

pub(super) const EVENTS_OF: &str = "
    SELECT count(*) FROM order_events
    WHERE order_id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) const REMOVE_ORDERS: &str =
    "DELETE FROM orders WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) const REMOVE_EVENTS: &str =
    "DELETE FROM order_events WHERE order_id IN (SELECT unhex(value) FROM json_each(?1))";

pub(super) const RESERVATIONS: &str = "
    SELECT order_id, state <> 'RESERVED' AND updated_at < ?2 AS settled
    FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?3";

pub(super) const REMOVE_RESERVATIONS: &str =
    "DELETE FROM reservations WHERE order_id IN (SELECT unhex(value) FROM json_each(?1))";

/// Adjustments are numbered in the order of their age.
pub(super) const ADJUSTMENTS: &str =
    "SELECT id, at < ?2 AS old FROM stock_adjustments WHERE id > ?1 ORDER BY id LIMIT ?3";

pub(super) const REMOVE_ADJUSTMENTS: &str =
    "DELETE FROM stock_adjustments WHERE id > ?1 AND id <= ?2 AND at < ?3";

/// What was done and denied is numbered in the order of its age.
pub(super) const AUDIT: &str =
    "SELECT number, at < ?2 AS old FROM audit WHERE number > ?1 ORDER BY number LIMIT ?3";

pub(super) const REMOVE_AUDIT: &str =
    "DELETE FROM audit WHERE number > ?1 AND number <= ?2 AND at < ?3";

/// The orders' or the inventory's half of the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Half {
    Orders,
    Inventory,
}

/// The retention of one half of the file.
#[derive(Debug)]
pub(super) struct SqliteRetention {
    db: Arc<Db>,
    half: Half,
    /// When its last turn began.
    turn: Mutex<Option<Instant>>,
}

impl SqliteRetention {
    pub(super) fn new(db: Arc<Db>, half: Half) -> Self {
        Self {
            db,
            half,
            turn: Mutex::default(),
        }
    }
}

#[async_trait]
impl Retention for SqliteRetention {
    fn name(&self) -> &'static str {
        match self.half {
            Half::Orders => "orders",
            Half::Inventory => "inventory",
        }
    }

    /// Only one process has the file, so its own memory of turns is enough.
    async fn take_turn(&self, every: Duration) -> Result<bool, RetentionError> {
        let mut turn = self.turn.lock();
        let is_due = turn.is_none_or(|begun| begun.elapsed() >= every);
        if is_due {
            *turn = Some(Instant::now());
        }
        Ok(is_due)
    }

    async fn page(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError> {
        let half = self.half;
        let page = self.db.writer.write(move |conn| {
            async move {
                match half {
                    Half::Orders => orders(conn, before, from, limit, mode).await,
                    Half::Inventory if from.walk == 0 => {
                        reservations(conn, before, from, limit, mode).await
                    }
                    Half::Inventory => {
                        let statements = (ADJUSTMENTS, REMOVE_ADJUSTMENTS);
                        numbered(
                            conn,
                            "stock_adjustments",
                            statements,
                            before,
                            from,
                            limit,
                            mode,
                        )
                        .await
                    }
                }
            }
            .boxed()
        });
        page.await.map_err(|error| RetentionError(error.into()))
    }
}

async fn orders(
    conn: &mut SqliteConnection,
    before: Timestamp,
    from: Cursor,
    limit: u32,
    mode: Mode,
) -> sqlx::Result<Page> {
    let Some(status) = FINAL.get(from.walk) else {
        return numbered(
            conn,
            "audit",
            (AUDIT, REMOVE_AUDIT),
            before,
            from,
            limit,
            mode,
        )
        .await;
    };
    let open = [Stock::Requested, Stock::Reserved, Stock::Releasing].map(Stock::as_str);
    let seen: Vec<(Uuid, i64, bool)> = sqlx::query_as(ORDERS)
        .bind(status.as_str())
        .bind(from.at.0)
        .bind(from.id)
        .bind(before.0)
        .bind(limit)
        .bind(json(&open))
        .fetch_all(&mut *conn)
        .await?;
    let settled: Vec<String> = seen
        .iter()
        .filter(|(_, _, settled)| *settled)
        .map(|(id, _, _)| hex(*id))
        .collect();
    let ids = json(&settled);
    let events: i64 = sqlx::query_scalar(EVENTS_OF)
        .bind(&ids)
        .fetch_one(&mut *conn)
        .await?;
    if mode == Mode::Remove {
        for sql in [REMOVE_EVENTS, REMOVE_ORDERS] {
            sqlx::query(sql).bind(&ids).execute(&mut *conn).await?;
        }
    }
    let full = seen.len() >= limit as usize;
    let next = match seen.last() {
        Some((id, at, _)) if full => Some(Cursor {
            walk: from.walk,
            at: Timestamp(*at),
            id: *id,
        }),
        _ => Some(Cursor {
            walk: from.walk + 1,
            ..Cursor::default()
        }),
    };
    Ok(Page {
        rows: vec![
            ("orders", settled.len() as u64),
            ("order_events", u64::try_from(events).unwrap_or(0)),
        ],
        next,
    })
}

async fn reservations(
    conn: &mut SqliteConnection,
    before: Timestamp,
    from: Cursor,
    limit: u32,
    mode: Mode,
) -> sqlx::Result<Page> {
    let seen: Vec<(Uuid, bool)> = sqlx::query_as(RESERVATIONS)
        .bind(from.id)
        .bind(before.0)
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
    let settled: Vec<String> = seen
        .iter()
        .filter(|(_, settled)| *settled)
        .map(|(id, _)| hex(*id))
        .collect();
    if mode == Mode::Remove {
        sqlx::query(REMOVE_RESERVATIONS)
            .bind(json(&settled))
            .execute(conn)
            .await?;
    }
    let full = seen.len() >= limit as usize;
    let next = match seen.last() {
        Some((id, _)) if full => Cursor { id: *id, ..from },
        _ => Cursor {
            walk: from.walk + 1,
            ..Cursor::default()
        },
    };
    Ok(Page {
        rows: vec![("reservations", settled.len() as u64)],
        next: Some(next),
    })
}

/// A page of a table whose rows are numbered in the order of their age.
async fn numbered(
    conn: &mut SqliteConnection,
    table: &'static str,
    (select, remove): (&'static str, &'static str),
    before: Timestamp,
    from: Cursor,
    limit: u32,
    mode: Mode,
) -> sqlx::Result<Page> {
    let seen: Vec<(i64, bool)> = sqlx::query_as(select)
        .bind(from.number())
        .bind(before.0)
        .bind(limit)
        .fetch_all(&mut *conn)
        .await?;
    let old = seen.iter().filter(|(_, old)| *old).count();
    let last = seen.last().map(|(id, _)| *id);
    if mode == Mode::Remove
        && let Some(last) = last
    {
        sqlx::query(remove)
            .bind(from.number())
            .bind(last)
            .bind(before.0)
            .execute(conn)
            .await?;
    }
    // A page without an old row ends the walk: ids rise with time, with rare exceptions.
    let has_more = old > 0 && seen.len() >= limit as usize;
    Ok(Page {
        rows: vec![(table, old as u64)],
        next: last
            .filter(|_| has_more)
            .map(|last| from.after_number(last)),
    })
}
