//! The rows of the inventory's database that a batch locks and writes. Leaves decisions about them to
//! [`super::stock_apply`].

use std::collections::BTreeMap;

use sqlx::postgres::{PgBindIterExt as _, PgRow};
use sqlx::{PgConnection, Row as _};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Level, Request, Reservation};
use uuid::Uuid;

use super::stock_record::{Message, Record};
use super::types::{Json, Millis, Text};
use crate::ports::outbox::OUTBOX_LANES;
use crate::ports::stock::StockRequest;

const RESERVATION: &str = "
    SELECT order_id, state, items::text, failed_items::text, replied_at, released_at, updated_at
    FROM reservations WHERE order_id = $1";

const LOCK: &str = "SELECT * FROM lock_stock($1, $2)";

/// The rows that a batch has locked.
#[derive(Default)]
pub(super) struct Locked {
    pub records: BTreeMap<OrderId, Record>,
    pub levels: BTreeMap<Sku, Level>,
    /// Orders and items whose rows can't be read, and why.
    unreadable_records: BTreeMap<OrderId, String>,
    unreadable_levels: BTreeMap<Sku, String>,
}

impl Locked {
    /// Why `request` can't be handled, if a row that it needs can't be read; `known` is its order's
    /// reservation.
    pub fn unreadable(&self, request: &StockRequest, known: Option<&Record>) -> Option<String> {
        if let Some(why) = self.unreadable_records.get(&request.order) {
            return Some(format!("the order's reservation can't be read: {why}"));
        }
        if self.unreadable_levels.is_empty() {
            return None;
        }
        let demand = match &request.request {
            Request::Reserve(demand) => demand,
            Request::Release | Request::Ship => &known?.items,
        };
        let bad = |sku| self.unreadable_levels.get(sku).map(|why| (sku, why));
        let (sku, why) = demand.iter().find_map(|(sku, _)| bad(sku))?;
        Some(format!("item {sku} can't be read: {why}"))
    }
}

/// One order's reservation.
pub(super) async fn reservation(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<Option<Record>, sqlx::Error> {
    let stored = sqlx::query(RESERVATION)
        .bind(order.0)
        .fetch_optional(connection)
        .await?;
    stored.map(|row| record(&row)).transpose()
}

/// Reads and locks the rows that a batch touches, until the transaction ends. Unknown orders and items are
/// left out.
pub(super) async fn lock(
    connection: &mut PgConnection,
    orders: &[OrderId],
    skus: &[Sku],
) -> Result<Locked, sqlx::Error> {
    let rows = sqlx::query(LOCK)
        .bind(orders.iter().map(|order| order.0).bind_iter())
        .bind(skus.iter().map(Sku::as_str).bind_iter())
        .fetch_all(connection)
        .await?;
    let mut locked = Locked::default();
    for row in &rows {
        if let Some(id) = row.try_get::<Option<Uuid>, _>(0)? {
            match record(row) {
                Ok(record) => {
                    locked.records.insert(OrderId(id), record);
                }
                Err(error) => {
                    locked
                        .unreadable_records
                        .insert(OrderId(id), error.to_string());
                }
            }
            continue;
        }
        // The SKU was valid when it was asked for, so it parses.
        let sku = parse_sku(row.try_get(7)?)?;
        match level(row.try_get(8)?, row.try_get(9)?) {
            Ok(level) => {
                locked.levels.insert(sku, level);
            }
            Err(error) => {
                locked.unreadable_levels.insert(sku, error.to_string());
            }
        }
    }
    Ok(locked)
}

fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    let items: Vec<(String, u64)> = json(row.try_get(2)?)?;
    let items = items
        .into_iter()
        .map(|(name, n)| Ok((parse_sku(&name)?, n)));
    let failed: Option<Vec<String>> = row.try_get::<Option<&str>, _>(3)?.map(json).transpose()?;
    let failed = failed.map(|names| names.iter().map(|name| parse_sku(name)).collect());
    Ok(Record {
        state: Reservation::parse(row.try_get(1)?)
            .ok_or_else(|| impossible("reservation state"))?,
        items: items.collect::<Result<_, sqlx::Error>>()?,
        failed: failed.transpose()?,
        replied_at: row.try_get::<Option<Millis>, _>(4)?.map(|at| at.0),
        released_at: row.try_get::<Option<Millis>, _>(5)?.map(|at| at.0),
        updated_at: row.try_get::<Millis, _>(6)?.0,
    })
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn level(on_hand: i64, reserved: i64) -> Result<Level, sqlx::Error> {
    // The schema keeps the columns from being negative.
    let number = |n: i64| u64::try_from(n).map_err(|_| impossible("level"));
    Ok(Level {
        on_hand: number(on_hand)?,
        reserved: number(reserved)?,
    })
}

/// Uses inserts only: their plans read no table, so no plan depends on statistics. Changed rows exist and are
/// locked, so their inserts always conflict.
const STORE: &str = "
    WITH levels AS (
        INSERT INTO items (sku, on_hand, reserved)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
        ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved
    ), old AS (
        INSERT INTO reservations
            (order_id, state, items, failed_items, replied_at, released_at, updated_at)
        SELECT * FROM unnest($4::uuid[], $5::text[], $6::json[], $7::json[], $8::timestamptz[],
                             $9::timestamptz[], $10::timestamptz[])
        ON CONFLICT (order_id) DO UPDATE SET
            state = excluded.state, items = excluded.items, failed_items = excluded.failed_items,
            replied_at = excluded.replied_at, released_at = excluded.released_at,
            updated_at = excluded.updated_at
    ), new AS (
        INSERT INTO reservations
            (order_id, state, items, failed_items, replied_at, released_at, updated_at)
        SELECT * FROM unnest($11::uuid[], $12::text[], $13::json[], $14::json[], $15::timestamptz[],
                             $16::timestamptz[], $17::timestamptz[])
        ON CONFLICT DO NOTHING RETURNING 1
    ), said AS (
        INSERT INTO outbox (order_id, lane, id, version, ordinal, topic, at, payload, traceparent)
        SELECT * FROM unnest($18::uuid[], $19::smallint[], $20::uuid[], $21::integer[],
                             $22::smallint[], $23::text[], $24::timestamptz[], $25::text[],
                             $26::text[])
    )
    SELECT count(*) FROM new";

/// The changes of a batch; the lists are in order of their keys.
pub(super) struct Changes<'a> {
    pub levels: &'a BTreeMap<&'a Sku, Level>,
    /// Reservations that are not there yet.
    pub new: &'a [(&'a OrderId, &'a Record)],
    /// Reservations that are locked.
    pub old: &'a [(&'a OrderId, &'a Record)],
    pub messages: &'a [Message],
}

type Query<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, i64, sqlx::postgres::PgArguments>;

/// Reservations with their JSON columns.
struct Rows<'a> {
    records: &'a [(&'a OrderId, &'a Record)],
    items: Vec<Vec<u8>>,
    failed: Vec<Option<Vec<u8>>>,
}

impl<'a> Rows<'a> {
    fn of(records: &'a [(&'a OrderId, &'a Record)]) -> Self {
        let all = || records.iter().map(|(_, record)| *record);
        let failed = all().map(|record| record.failed.as_ref().map(|skus| names_json(skus)));
        Self {
            records,
            items: all().map(|record| items_json(&record.items)).collect(),
            failed: failed.collect(),
        }
    }

    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        let all = || self.records.iter().map(|(_, record)| *record);
        let failed = self.failed.iter().map(|json| json.as_deref().map(Json));
        query
            .bind(self.records.iter().map(|(order, _)| order.0).bind_iter())
            .bind(all().map(|record| record.state.as_str()).bind_iter())
            .bind(self.items.iter().map(|json| Json(json)).bind_iter())
            .bind(failed.bind_iter())
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
    }
}

/// Stores all changes. If one of the new reservations exists already it returns `false`, and the caller must
/// roll the transaction back.
pub(super) async fn store(
    connection: &mut PgConnection,
    changes: &Changes<'_>,
) -> Result<bool, sqlx::Error> {
    let Changes {
        levels,
        new,
        old,
        messages,
    } = changes;
    if levels.is_empty() && new.is_empty() && old.is_empty() && messages.is_empty() {
        return Ok(true);
    }
    let (new_rows, old_rows) = (Rows::of(new), Rows::of(old));
    let query = sqlx::query_scalar(STORE)
        .bind(levels.keys().map(|sku| sku.as_str()).bind_iter())
        .bind(levels.values().map(|level| int8(level.on_hand)).bind_iter())
        .bind(
            levels
                .values()
                .map(|level| int8(level.reserved))
                .bind_iter(),
        );
    let query = bind_messages(new_rows.bind(old_rows.bind(query)), messages);
    let inserted: i64 = query.fetch_one(connection).await?;
    Ok(usize::try_from(inserted).is_ok_and(|inserted| inserted == new.len()))
}

fn bind_messages<'q>(query: Query<'q>, messages: &'q [Message]) -> Query<'q> {
    let rows = || messages.iter().map(|message| &message.row);
    let versions = rows().map(|row| i32::try_from(row.version).unwrap_or(-1));
    let ordinals = rows().map(|row| i16::try_from(row.ordinal).unwrap_or(-1));
    let lanes = messages.iter().map(|message| lane(message.order));
    query
        .bind(messages.iter().map(|message| message.order.0).bind_iter())
        .bind(lanes.bind_iter())
        .bind(rows().map(|row| row.id.0).bind_iter())
        .bind(versions.bind_iter())
        .bind(ordinals.bind_iter())
        .bind(rows().map(|row| row.topic.as_str()).bind_iter())
        .bind(rows().map(|row| Millis(row.at)).bind_iter())
        .bind(rows().map(|row| Text(&row.payload)).bind_iter())
        .bind(rows().map(|row| row.traceparent.as_deref()).bind_iter())
}

/// The highest number that was given to a row of the outbox, and the lowest number among its rows.
pub(super) const REPLIES: &str = "
    SELECT (SELECT last_value FROM outbox_seq_seq),
           (SELECT min(oldest.seq)
            FROM generate_series(0, 7) AS lanes(lane)
            CROSS JOIN LATERAL (
                SELECT seq FROM outbox WHERE lane = lanes.lane::smallint ORDER BY seq LIMIT 1
            ) oldest)";

fn lane(order: OrderId) -> i16 {
    let hash = xxhash_rust::xxh3::xxh3_64(order.0.as_bytes());
    // The modulo keeps it below OUTBOX_LANES.
    i16::try_from(hash % u64::from(OUTBOX_LANES)).unwrap_or(0)
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
    // Levels come from columns of this type, and never rise above `on_hand`.
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn parse_sku(name: &str) -> Result<Sku, sqlx::Error> {
    Sku::parse(name).ok_or_else(|| impossible("SKU"))
}

pub(super) fn impossible(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("impossible {what}").into())
}
