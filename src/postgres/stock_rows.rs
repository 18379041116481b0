//! The rows of the inventory's database. What they become is decided elsewhere.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::postgres::PgBindIterExt as _;
use sqlx::types::Json as SqlJson;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Level, Reservation};
use uuid::Uuid;

use super::stock_record::{Message, Record};
use super::types::{Json, Millis, Text};
use crate::ports::outbox::LANES;

type StoredRecord = (
    Uuid,
    String,
    SqlJson<Vec<(String, u64)>>,
    Option<SqlJson<Vec<String>>>,
    Option<Millis>,
    Option<Millis>,
    Millis,
);

const RESERVATIONS: &str = "
    SELECT order_id, state, items, failed_items, replied_at, released_at, updated_at
    FROM reservations WHERE order_id = ANY ($1)";

const LOCK_RESERVATIONS: &str = "
    SELECT order_id, state, items, failed_items, replied_at, released_at, updated_at
    FROM reservations WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE";

/// Reads reservations.
pub(super) async fn reservations(
    connection: &mut PgConnection,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, Record>, sqlx::Error> {
    fetch_reservations(connection, RESERVATIONS, orders).await
}

/// Reads reservations and keeps them from changing until the transaction ends.
pub(super) async fn lock_reservations(
    connection: &mut PgConnection,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, Record>, sqlx::Error> {
    fetch_reservations(connection, LOCK_RESERVATIONS, orders).await
}

async fn fetch_reservations(
    connection: &mut PgConnection,
    sql: &'static str,
    orders: &[OrderId],
) -> Result<BTreeMap<OrderId, Record>, sqlx::Error> {
    let stored: Vec<StoredRecord> = sqlx::query_as(sql)
        .bind(orders.iter().map(|order| order.0).bind_iter())
        .fetch_all(connection)
        .await?;
    stored.into_iter().map(record).collect()
}

fn record(stored: StoredRecord) -> Result<(OrderId, Record), sqlx::Error> {
    let (order, state, items, failed, replied_at, released_at, updated_at) = stored;
    let items = items.0.into_iter().map(|(name, n)| Ok((sku(&name)?, n)));
    let failed = failed.map(|names| names.0.iter().map(|name| sku(name)).collect());
    let record = Record {
        state: Reservation::parse(&state).ok_or_else(|| impossible("reservation state"))?,
        items: items.collect::<Result<_, sqlx::Error>>()?,
        failed: failed.transpose()?,
        replied_at: replied_at.map(|at| at.0),
        released_at: released_at.map(|at| at.0),
        updated_at: updated_at.0,
    };
    Ok((OrderId(order), record))
}

const LOCK_LEVELS: &str = "
    SELECT sku, on_hand, reserved FROM items WHERE sku = ANY ($1) ORDER BY sku FOR UPDATE";

/// Reads items and keeps them from changing until the transaction ends. Unknown ones are left out.
pub(super) async fn lock_levels(
    connection: &mut PgConnection,
    skus: &[Sku],
) -> Result<BTreeMap<Sku, Level>, sqlx::Error> {
    if skus.is_empty() {
        return Ok(BTreeMap::new());
    }
    let stored: Vec<(String, i64, i64)> = sqlx::query_as(LOCK_LEVELS)
        .bind(skus.iter().map(Sku::as_str).bind_iter())
        .fetch_all(connection)
        .await?;
    stored.into_iter().map(item).collect()
}

/// One item.
pub(super) async fn level(
    connection: &mut PgConnection,
    sku: &Sku,
) -> Result<Option<Level>, sqlx::Error> {
    let stored: Option<(String, i64, i64)> =
        sqlx::query_as("SELECT sku, on_hand, reserved FROM items WHERE sku = $1")
            .bind(sku.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(stored.map(item).transpose()?.map(|(_, level)| level))
}

/// Items in order of SKU.
pub(super) async fn levels_after(
    connection: &mut PgConnection,
    after: Option<&Sku>,
    limit: u32,
) -> Result<Vec<(Sku, Level)>, sqlx::Error> {
    let stored: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT sku, on_hand, reserved FROM items WHERE sku > $1 ORDER BY sku LIMIT $2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    stored.into_iter().map(item).collect()
}

fn item((name, on_hand, reserved): (String, i64, i64)) -> Result<(Sku, Level), sqlx::Error> {
    // The columns are checked to be no less than zero.
    let number = |n: i64| u64::try_from(n).map_err(|_| impossible("level"));
    let level = Level {
        on_hand: number(on_hand)?,
        reserved: number(reserved)?,
    };
    Ok((sku(&name)?, level))
}

const STORE_LEVELS: &str = "
    UPDATE items SET on_hand = new.on_hand, reserved = new.reserved
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new(sku, on_hand, reserved)
    WHERE items.sku = new.sku";

/// Stores levels of locked items.
pub(super) async fn store_levels(
    connection: &mut PgConnection,
    levels: &BTreeMap<&Sku, Level>,
) -> Result<(), sqlx::Error> {
    if levels.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE_LEVELS)
        .bind(levels.keys().map(|sku| sku.as_str()).bind_iter())
        .bind(levels.values().map(|level| int8(level.on_hand)).bind_iter())
        .bind(
            levels
                .values()
                .map(|level| int8(level.reserved))
                .bind_iter(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

const INSERT_RESERVATIONS: &str = "
    INSERT INTO reservations
        (order_id, state, items, failed_items, replied_at, released_at, updated_at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::json[], $4::json[], $5::timestamptz[],
                         $6::timestamptz[], $7::timestamptz[])
    ON CONFLICT DO NOTHING";

const UPDATE_RESERVATIONS: &str = "
    UPDATE reservations r SET
        state = new.state, items = new.items,
        failed_items = new.failed, replied_at = new.replied, released_at = new.released, updated_at = new.updated
    FROM unnest($1::uuid[], $2::text[], $3::json[], $4::json[], $5::timestamptz[],
                $6::timestamptz[], $7::timestamptz[])
        AS new(id, state, items, failed, replied, released, updated)
    WHERE r.order_id = new.id";

/// Inserts reservations, in order of order id; `false` if one of them is there already.
pub(super) async fn insert_reservations(
    connection: &mut PgConnection,
    records: &[(&OrderId, &Record)],
) -> Result<bool, sqlx::Error> {
    let inserted = write_reservations(connection, INSERT_RESERVATIONS, records).await?;
    Ok(inserted == records.len() as u64)
}

/// Stores locked reservations.
pub(super) async fn update_reservations(
    connection: &mut PgConnection,
    records: &[(&OrderId, &Record)],
) -> Result<(), sqlx::Error> {
    write_reservations(connection, UPDATE_RESERVATIONS, records).await?;
    Ok(())
}

async fn write_reservations(
    connection: &mut PgConnection,
    sql: &'static str,
    records: &[(&OrderId, &Record)],
) -> Result<u64, sqlx::Error> {
    if records.is_empty() {
        return Ok(0);
    }
    let all = || records.iter().map(|(_, record)| *record);
    let items: Vec<Vec<u8>> = all().map(|record| items_json(&record.items)).collect();
    let failed: Vec<Option<Vec<u8>>> = all()
        .map(|record| record.failed.as_ref().map(|skus| names_json(skus)))
        .collect();
    let done = sqlx::query(sql)
        .bind(records.iter().map(|(order, _)| order.0).bind_iter())
        .bind(all().map(|record| record.state.as_str()).bind_iter())
        .bind(items.iter().map(|json| Json(json)).bind_iter())
        .bind(
            failed
                .iter()
                .map(|json| json.as_deref().map(Json))
                .bind_iter(),
        )
        .bind(
            all()
                .map(|record| record.replied_at.map(Millis))
                .bind_iter(),
        )
        .bind(
            all()
                .map(|record| record.released_at.map(Millis))
                .bind_iter(),
        )
        .bind(all().map(|record| Millis(record.updated_at)).bind_iter())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

const INSERT_MESSAGES: &str = "
    INSERT INTO outbox (order_id, lane, id, version, ordinal, topic, at, payload, traceparent)
    SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::integer[], $5::smallint[],
                         $6::text[], $7::timestamptz[], $8::text[], $9::text[])";

/// Puts replies into the outbox.
pub(super) async fn insert_messages(
    connection: &mut PgConnection,
    messages: &[Message],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let rows = || messages.iter().map(|message| &message.row);
    sqlx::query(INSERT_MESSAGES)
        .bind(messages.iter().map(|message| message.order.0).bind_iter())
        .bind(
            messages
                .iter()
                .map(|message| lane(message.order))
                .bind_iter(),
        )
        .bind(rows().map(|row| row.id.0).bind_iter())
        .bind(
            rows()
                .map(|row| i32::try_from(row.version).unwrap_or(-1))
                .bind_iter(),
        )
        .bind(
            rows()
                .map(|row| i16::try_from(row.ordinal).unwrap_or(-1))
                .bind_iter(),
        )
        .bind(rows().map(|row| row.topic.as_str()).bind_iter())
        .bind(rows().map(|row| Millis(row.at)).bind_iter())
        .bind(rows().map(|row| Text(&row.payload)).bind_iter())
        .bind(rows().map(|row| row.traceparent.as_deref()).bind_iter())
        .execute(connection)
        .await?;
    Ok(())
}

/// The level after setting it; `None` if more than that is reserved.
pub(super) async fn set_on_hand(
    connection: &mut PgConnection,
    sku: &Sku,
    on_hand: i64,
) -> Result<Option<Level>, sqlx::Error> {
    let stored: Option<(String, i64, i64)> = sqlx::query_as(
        "INSERT INTO items (sku, on_hand) VALUES ($1, $2)
         ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand
         WHERE items.reserved <= excluded.on_hand
         RETURNING sku, on_hand, reserved",
    )
    .bind(sku.as_str())
    .bind(on_hand)
    .fetch_optional(connection)
    .await?;
    Ok(stored.map(item).transpose()?.map(|(_, level)| level))
}

fn lane(order: OrderId) -> i16 {
    let hash = xxhash_rust::xxh3::xxh3_64(order.0.as_bytes());
    // Below LANES by the modulo.
    i16::try_from(hash % u64::from(LANES)).unwrap_or(0)
}

fn items_json(items: &[(Sku, u64)]) -> Vec<u8> {
    let pairs: Vec<(&str, u64)> = items.iter().map(|(sku, n)| (sku.as_str(), *n)).collect();
    // Writing text and numbers to memory has no way to fail.
    serde_json::to_vec(&pairs).unwrap_or_default()
}

fn names_json(skus: &[Sku]) -> Vec<u8> {
    let names: Vec<&str> = skus.iter().map(Sku::as_str).collect();
    serde_json::to_vec(&names).unwrap_or_default()
}

pub(super) fn int8(number: u64) -> i64 {
    // Levels come from columns of this type and only shrink or rise below `on_hand`.
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn sku(name: &str) -> Result<Sku, sqlx::Error> {
    Sku::parse(name).ok_or_else(|| impossible("SKU"))
}

fn impossible(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("impossible {what}").into())
}
