//! Stored reservations.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{Executor, Row as _};
use trackops_domain::ids::OrderId;
use trackops_domain::stock::Reservation;
use trackops_domain::stock::batch::Loaded;
use trackops_domain::stock::record::Record;
use trackops_domain::time::Timestamp;

use super::super::error::corrupt;
use super::super::text::{hex, json as to_json};
use crate::codec::stock::{failed_json, failed_of, items_json, items_of};

const LOAD: &str = "
    SELECT order_id, state, items, failed, replied_at, released_at, updated_at
    FROM reservations
    WHERE order_id IN (SELECT unhex(value) FROM json_each(?1))";

const STORE: &str = "
    INSERT INTO reservations (order_id, state, items, failed, replied_at, released_at, updated_at)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
           value ->> 6
    FROM json_each(?1)
    WHERE true
    ON CONFLICT (order_id) DO UPDATE SET
        state = excluded.state, items = excluded.items, failed = excluded.failed,
        replied_at = excluded.replied_at, released_at = excluded.released_at,
        updated_at = excluded.updated_at";

/// The stored reservations of `orders`.
pub(super) async fn load<'e>(
    from: impl Executor<'e, Database = Sqlite>,
    orders: &[OrderId],
) -> sqlx::Result<Loaded> {
    let ids: Vec<String> = orders.iter().map(|order| hex(order.0)).collect();
    let rows = sqlx::query(LOAD)
        .bind(to_json(&ids))
        .fetch_all(from)
        .await?;
    let mut loaded = Loaded::default();
    for row in &rows {
        let order = OrderId(row.try_get(0)?);
        match record(row) {
            Ok(record) => drop(loaded.records.insert(order, record)),
            Err(error) => drop(loaded.unreadable_records.insert(order, error.to_string())),
        }
    }
    Ok(loaded)
}

fn record(row: &SqliteRow) -> sqlx::Result<Record> {
    let failed = row.try_get::<Option<&str>, _>(3)?.map(failed_of);
    Ok(Record {
        state: Reservation::parse(row.try_get(1)?).ok_or_else(|| corrupt("reservation state"))?,
        items: items_of(row.try_get(2)?).map_err(undecoded)?,
        failed: failed.transpose().map_err(undecoded)?,
        replied_at: row.try_get::<Option<i64>, _>(4)?.map(Timestamp),
        released_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        updated_at: Timestamp(row.try_get(6)?),
    })
}

fn undecoded(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// Stores `changed`.
pub(super) async fn store(
    conn: &mut SqliteConnection,
    changed: &BTreeMap<OrderId, Record>,
) -> sqlx::Result<()> {
    let rows: Vec<_> = changed
        .iter()
        .map(|(order, record)| {
            json!([
                hex(order.0),
                record.state.as_str(),
                items_json(&record.items),
                record.failed.as_deref().map(failed_json),
                record.replied_at.map(|at| at.0),
                record.released_at.map(|at| at.0),
                record.updated_at.0,
            ])
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(to_json(&rows))
        .execute(conn)
        .await
        .map(drop)
}
