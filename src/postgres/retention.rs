//! Removes old settled rows on PostgreSQL by existing indexes: orders by status and age, reservations and
//! adjustments along their primary keys. An index on the age of reservations would cost a write for each;
//! adjustments are numbered in the order of their age.
//!
//! A page is one autocommit statement. It skips locked rows, so it never waits for long, and it checks each
//! row again before it removes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use trackops_domain::saga::Stock;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::connections::Connections;
use super::error::Failure;
use super::settings::Kind;
use super::types::Millis;
use crate::ports::retention::{Cursor, Mode, Page, Retention, RetentionError};

/// The final statuses; each has a walk of its own.
const FINAL: [Status; 3] = [Status::Delivered, Status::Rejected, Status::Cancelled];

/// An order may be removed once it is final, awaits nothing, and its stock is known to be settled: then no
/// append comes any more. `status || ''` matches no index, so these orders are looked up by id. Columns:
/// orders, events, rows looked at, the last row looked at.
pub(super) const REMOVE_ORDERS: &str = "
    WITH page AS MATERIALIZED (
        SELECT id, created_at,
               updated_at < $4 AND deadline_at IS NULL AND saga ->> 'stock' <> ALL ($6) AS settled
        FROM orders
        WHERE status = $1 AND (created_at, id) > ($2, $3) AND created_at < $4
        ORDER BY created_at, id LIMIT $5
    ), free AS MATERIALIZED (
        SELECT id FROM orders
        WHERE id = ANY (ARRAY(SELECT id FROM page WHERE settled))
          AND status || '' = $1 AND updated_at < $4 AND deadline_at IS NULL
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM orders WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id
    ), events AS (
        DELETE FROM order_events WHERE order_id = ANY (ARRAY(SELECT id FROM gone)) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM events), (SELECT count(*) FROM page),
           last.created_at, last.id
    FROM (SELECT created_at, id FROM page ORDER BY created_at DESC, id DESC LIMIT 1) AS last";

pub(super) const COUNT_ORDERS: &str = "
    WITH page AS MATERIALIZED (
        SELECT id, created_at,
               updated_at < $4 AND deadline_at IS NULL AND saga ->> 'stock' <> ALL ($6) AS settled
        FROM orders
        WHERE status = $1 AND (created_at, id) > ($2, $3) AND created_at < $4
        ORDER BY created_at, id LIMIT $5
    )
    SELECT (SELECT count(*) FROM page WHERE settled),
           (SELECT count(*) FROM order_events
            WHERE order_id = ANY (ARRAY(SELECT id FROM page WHERE settled))),
           (SELECT count(*) FROM page), last.created_at, last.id
    FROM (SELECT created_at, id FROM page ORDER BY created_at DESC, id DESC LIMIT 1) AS last";

/// A reservation may be removed once it holds nothing. Columns: reservations, rows looked at, the last row
/// looked at.
pub(super) const REMOVE_RESERVATIONS: &str = "
    WITH page AS MATERIALIZED (
        SELECT order_id, state <> 'RESERVED' AND updated_at < $2 AS settled
        FROM reservations WHERE order_id > $1 ORDER BY order_id LIMIT $3
    ), free AS MATERIALIZED (
        SELECT order_id FROM reservations
        WHERE order_id = ANY (ARRAY(SELECT order_id FROM page WHERE settled))
          AND state <> 'RESERVED' AND updated_at < $2
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM reservations WHERE order_id = ANY (ARRAY(SELECT order_id FROM free)) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), last.order_id
    FROM (SELECT order_id FROM page ORDER BY order_id DESC LIMIT 1) AS last";

pub(super) const COUNT_RESERVATIONS: &str = "
    WITH page AS MATERIALIZED (
        SELECT order_id, state <> 'RESERVED' AND updated_at < $2 AS settled
        FROM reservations WHERE order_id > $1 ORDER BY order_id LIMIT $3
    )
    SELECT (SELECT count(*) FROM page WHERE settled), (SELECT count(*) FROM page), last.order_id
    FROM (SELECT order_id FROM page ORDER BY order_id DESC LIMIT 1) AS last";

/// Columns: adjustments, rows looked at, the last row looked at.
pub(super) const REMOVE_ADJUSTMENTS: &str = "
    WITH page AS MATERIALIZED (
        SELECT id, at < $2 AS old FROM stock_adjustments WHERE id > $1 ORDER BY id LIMIT $3
    ), gone AS (
        DELETE FROM stock_adjustments WHERE id = ANY (ARRAY(SELECT id FROM page WHERE old)) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), last.id
    FROM (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last";

pub(super) const COUNT_ADJUSTMENTS: &str = "
    WITH page AS MATERIALIZED (
        SELECT id, at < $2 AS old FROM stock_adjustments WHERE id > $1 ORDER BY id LIMIT $3
    )
    SELECT (SELECT count(*) FROM page WHERE old), (SELECT count(*) FROM page), last.id
    FROM (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last";

/// What was done and denied, numbered in the order of its age. Columns as for adjustments.
pub(super) const REMOVE_AUDIT: &str = "
    WITH page AS MATERIALIZED (
        SELECT number, at < $2 AS old FROM audit WHERE number > $1 ORDER BY number LIMIT $3
    ), gone AS (
        DELETE FROM audit WHERE number = ANY (ARRAY(SELECT number FROM page WHERE old)) RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), last.number
    FROM (SELECT number FROM page ORDER BY number DESC LIMIT 1) AS last";

pub(super) const COUNT_AUDIT: &str = "
    WITH page AS MATERIALIZED (
        SELECT number, at < $2 AS old FROM audit WHERE number > $1 ORDER BY number LIMIT $3
    )
    SELECT (SELECT count(*) FROM page WHERE old), (SELECT count(*) FROM page), last.number
    FROM (SELECT number FROM page ORDER BY number DESC LIMIT 1) AS last";

/// The orders' walks: one a final status, then the audit.
const ORDERS_WALKS: usize = FINAL.len() + 1;

/// The inventory's walks: reservations, then adjustments.
const INVENTORY_WALKS: usize = 2;

/// The table has one row; the clock is the database's.
pub(super) const TAKE_TURN: &str = "
    UPDATE maintenance SET begun_at = now()
    WHERE task = 'prune' AND begun_at <= now() - $1 * interval '1 second'";

/// The retention of one database.
#[derive(Clone, Debug)]
pub struct PgRetention {
    kind: Kind,
    connections: Arc<Connections>,
}

impl PgRetention {
    pub(super) fn new(kind: Kind, connections: Arc<Connections>) -> Self {
        Self { kind, connections }
    }

    async fn orders(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError> {
        let Some(status) = FINAL.get(from.walk) else {
            let statements = (REMOVE_AUDIT, COUNT_AUDIT);
            return self
                .numbered("audit", statements, before, from, limit, mode)
                .await;
        };
        let sql = match mode {
            Mode::Remove => REMOVE_ORDERS,
            Mode::Count => COUNT_ORDERS,
        };
        let open = [Stock::Requested, Stock::Reserved, Stock::Releasing].map(Stock::as_str);
        let page = self
            .row(
                sqlx::query(sql)
                    .bind(status.as_str())
                    .bind(Millis(from.at))
                    .bind(from.id)
                    .bind(Millis(before))
                    .bind(i64::from(limit))
                    .bind(&open[..]),
            )
            .await?;
        let Some(row) = page else {
            return Ok(Page {
                rows: Vec::new(),
                next: next_walk(from.walk, ORDERS_WALKS),
            });
        };
        let read = || -> sqlx::Result<_> {
            let last = Cursor {
                walk: from.walk,
                at: row.try_get::<Millis, _>(3)?.0,
                id: row.try_get(4)?,
            };
            Ok((
                vec![
                    ("orders", count(&row, 0)?),
                    ("order_events", count(&row, 1)?),
                ],
                count(&row, 2)?,
                last,
            ))
        };
        let (rows, seen, last) = read().map_err(|error| RetentionError(error.into()))?;
        let next = if seen < u64::from(limit) {
            next_walk(from.walk, ORDERS_WALKS)
        } else {
            Some(last)
        };
        Ok(Page { rows, next })
    }

    async fn reservations(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError> {
        let sql = match mode {
            Mode::Remove => REMOVE_RESERVATIONS,
            Mode::Count => COUNT_RESERVATIONS,
        };
        let page = self
            .row(
                sqlx::query(sql)
                    .bind(from.id)
                    .bind(Millis(before))
                    .bind(i64::from(limit)),
            )
            .await?;
        let Some(row) = page else {
            return Ok(Page {
                rows: vec![("reservations", 0)],
                next: next_walk(from.walk, INVENTORY_WALKS),
            });
        };
        let read = || -> sqlx::Result<_> {
            let id: Uuid = row.try_get(2)?;
            Ok((count(&row, 0)?, count(&row, 1)?, id))
        };
        let (removed, seen, id) = read().map_err(|error| RetentionError(error.into()))?;
        let next = if seen < u64::from(limit) {
            next_walk(from.walk, INVENTORY_WALKS)
        } else {
            Some(Cursor { id, ..from })
        };
        Ok(Page {
            rows: vec![("reservations", removed)],
            next,
        })
    }

    /// A page of a table whose rows are numbered in the order of their age.
    async fn numbered(
        &self,
        table: &'static str,
        (remove, count_old): (&'static str, &'static str),
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError> {
        let sql = match mode {
            Mode::Remove => remove,
            Mode::Count => count_old,
        };
        let page = self
            .row(
                sqlx::query(sql)
                    .bind(from.number())
                    .bind(Millis(before))
                    .bind(i64::from(limit)),
            )
            .await?;
        let Some(row) = page else {
            return Ok(Page {
                rows: vec![(table, 0)],
                next: None,
            });
        };
        let read = || -> sqlx::Result<_> {
            let last: i64 = row.try_get(2)?;
            Ok((count(&row, 0)?, count(&row, 1)?, last))
        };
        let (removed, seen, last) = read().map_err(|error| RetentionError(error.into()))?;
        // A page without an old row ends the walk: ids rise with time, with rare exceptions.
        let has_more = removed > 0 && seen >= u64::from(limit);
        Ok(Page {
            rows: vec![(table, removed)],
            next: has_more.then(|| from.after_number(last)),
        })
    }

    async fn row(
        &self,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<Option<PgRow>, RetentionError> {
        let connection = self.connections.take().await?;
        let row = connection
            .run(async |connection| query.fetch_optional(connection).await)
            .await?;
        Ok(row)
    }
}

fn next_walk(walk: usize, walks: usize) -> Option<Cursor> {
    (walk + 1 < walks).then_some(Cursor {
        walk: walk + 1,
        ..Cursor::default()
    })
}

fn count(row: &PgRow, column: usize) -> sqlx::Result<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

impl From<Failure> for RetentionError {
    fn from(failure: Failure) -> Self {
        Self(failure.into())
    }
}

#[async_trait]
impl Retention for PgRetention {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    async fn take_turn(&self, every: Duration) -> Result<bool, RetentionError> {
        let connection = self.connections.take().await?;
        let taken = connection
            .run(async |connection| {
                sqlx::query(TAKE_TURN)
                    .bind(every.as_secs_f64())
                    .execute(connection)
                    .await
            })
            .await?;
        Ok(taken.rows_affected() == 1)
    }

    async fn page(
        &self,
        before: Timestamp,
        from: Cursor,
        limit: u32,
        mode: Mode,
    ) -> Result<Page, RetentionError> {
        match self.kind {
            Kind::Orders => self.orders(before, from, limit, mode).await,
            Kind::Inventory if from.walk == 0 => self.reservations(before, from, limit, mode).await,
            Kind::Inventory => {
                let statements = (REMOVE_ADJUSTMENTS, COUNT_ADJUSTMENTS);
                self.numbered("stock_adjustments", statements, before, from, limit, mode)
                    .await
            }
        }
    }
}
