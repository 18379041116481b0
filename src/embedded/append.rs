//! The append. The shards' epochs and the orders' versions decide inside the writing transaction which rows
//! are accepted; then each table gets one statement for all accepted rows.

use std::collections::HashSet;

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use trackops_domain::ids::ShopId;
use trackops_domain::time::Timestamp;

use super::outbox::insert;
use super::outbox_owner::Owner;
use super::text::{hex, json, plain, stored_json};
use crate::faults::{self, points};
use crate::ports::journal::{AppendRow, RowOutcome};

pub(super) const CURRENT: &str = "
    SELECT s.epoch, o.version
    FROM json_each(?1) r
    LEFT JOIN shards s ON s.shard = r.value ->> 1
    LEFT JOIN orders o ON o.id = unhex(r.value ->> 0)
    ORDER BY r.key";

pub(super) const PUT_HEADS: &str = "
    INSERT INTO orders
        (id, shard, version, status, customer, created_at, updated_at, deadline, saga, shop)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4),
           value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9
    FROM json_each(?1)
    WHERE true
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, status = excluded.status, updated_at = excluded.updated_at,
        deadline = excluded.deadline, saga = excluded.saga";

pub(super) const ADD_EVENTS: &str = "
    INSERT INTO order_events (order_id, version, at, by, command, status, data, epoch)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4),
           value ->> 5, value ->> 6, value ->> 7
    FROM json_each(?1)";

/// With the version check off (a defect on purpose) a second writer's event must be stored.
const REPLACE_EVENTS: &str = "
    INSERT OR REPLACE INTO order_events (order_id, version, at, by, command, status, data, epoch)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4),
           value ->> 5, value ->> 6, value ->> 7
    FROM json_each(?1)";

/// Appends those of `rows` that may be appended. After an error the caller rolls back, and nothing is
/// written.
pub(super) async fn append(
    conn: &mut SqliteConnection,
    rows: &[AppendRow],
    now: Timestamp,
) -> sqlx::Result<Vec<RowOutcome>> {
    let outcomes = decide(conn, rows).await?;
    let accepted: Vec<&AppendRow> = rows
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| **outcome == RowOutcome::Committed)
        .map(|(row, _)| row)
        .collect();
    if accepted.is_empty() {
        return Ok(outcomes);
    }
    let heads = accepted
        .iter()
        .map(|row| head(row))
        .collect::<sqlx::Result<Vec<_>>>()?;
    sqlx::query(PUT_HEADS)
        .bind(json(&heads))
        .execute(&mut *conn)
        .await?;
    let events = accepted
        .iter()
        .filter_map(|row| event(row))
        .collect::<sqlx::Result<Vec<_>>>()?;
    if !events.is_empty() {
        let statement = if faults::hit(points::SKIP_VERSION_CHECK, "") {
            REPLACE_EVENTS
        } else {
            ADD_EVENTS
        };
        sqlx::query(statement)
            .bind(json(&events))
            .execute(&mut *conn)
            .await?;
    }
    let mut messages = Vec::with_capacity(accepted.len());
    for row in &accepted {
        let of_row = row.outbox.iter();
        messages.extend(of_row.map(|message| (row.order, row.shard.0, message)));
    }
    insert(conn, Owner::Orders, &messages, now).await?;
    Ok(outcomes)
}

async fn decide(conn: &mut SqliteConnection, rows: &[AppendRow]) -> sqlx::Result<Vec<RowOutcome>> {
    let wanted: Vec<(String, u16)> = rows
        .iter()
        .map(|row| (hex(row.order.0), row.shard.0))
        .collect();
    let current = sqlx::query(CURRENT)
        .bind(json(&wanted))
        .fetch_all(conn)
        .await?;
    let skip_fence = faults::hit(points::SKIP_FENCE, "");
    let skip_version = faults::hit(points::SKIP_VERSION_CHECK, "");
    let mut seen = HashSet::with_capacity(rows.len());
    rows.iter()
        .zip(current)
        .map(|(row, stored)| {
            let epoch: Option<i64> = stored.try_get(0)?;
            let version: Option<i64> = stored.try_get(1)?;
            let owned = epoch.is_some_and(|epoch| epoch <= row.epoch.0);
            let expected = row.expected.map(|expected| i64::from(expected.0));
            Ok(if !owned && !skip_fence {
                RowOutcome::Fenced
            } else if (version != expected && !skip_version) || !seen.insert(row.order) {
                RowOutcome::Conflict
            } else {
                RowOutcome::Committed
            })
        })
        .collect()
}

fn head(row: &AppendRow) -> sqlx::Result<Value> {
    let head = &row.head;
    Ok(json!([
        hex(row.order.0),
        row.shard.0,
        head.version.0,
        head.status.as_str(),
        hex(head.customer.0),
        head.created_at.0,
        head.updated_at.0,
        head.deadline.map(|at| at.0),
        stored_json(&head.saga)?,
        head.shop.as_ref().map(ShopId::as_str),
    ]))
}

fn event(row: &AppendRow) -> Option<sqlx::Result<Value>> {
    let event = row.event.as_ref()?;
    let data = event.data.as_deref().map(stored_json).transpose();
    Some(data.and_then(|data| {
        Ok(json!([
            hex(row.order.0),
            event.version.0,
            event.at.0,
            plain(&event.by)?,
            hex(event.command.0),
            event.status.as_str(),
            data,
            row.epoch.0,
        ]))
    }))
}
