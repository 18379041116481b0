//! The rows of the inventory's database that a batch locks and writes. Leaves decisions about them to
//! [`super::stock_apply`].

use std::collections::BTreeSet;

use sqlx::postgres::{PgBindIterExt as _, PgRow};
use sqlx::{PgConnection, Row as _};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::batch::{Decided, Loaded};
use trackops_domain::stock::record::Record;
use trackops_domain::stock::{Level, Reservation};
use uuid::Uuid;

use super::types::{Json, Millis, Text};
use crate::codec::stock::{failed_json, failed_of, items_json, items_of};
use crate::model::outbox_row::OutboxRow;
use crate::ports::outbox::OUTBOX_LANES;

const RESERVATION: &str = "
    SELECT order_id, state, items::text, failed_items::text, replied_at, released_at, updated_at
    FROM reservations WHERE order_id = $1";

const LOCK: &str = "SELECT * FROM lock_stock($1, $2)";

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
    orders: &BTreeSet<OrderId>,
    skus: &BTreeSet<&Sku>,
) -> Result<Loaded, sqlx::Error> {
    let rows = sqlx::query(LOCK)
        .bind(orders.iter().map(|order| order.0).bind_iter())
        .bind(skus.iter().map(|sku| sku.as_str()).bind_iter())
        .fetch_all(connection)
        .await?;
    let mut locked = Loaded::default();
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
    let failed = row.try_get::<Option<&str>, _>(3)?.map(failed_of);
    Ok(Record {
        state: Reservation::parse(row.try_get(1)?)
            .ok_or_else(|| impossible("reservation state"))?,
        items: items_of(row.try_get(2)?).map_err(undecoded)?,
        failed: failed.transpose().map_err(undecoded)?,
        replied_at: row.try_get::<Option<Millis>, _>(4)?.map(|at| at.0),
        released_at: row.try_get::<Option<Millis>, _>(5)?.map(|at| at.0),
        updated_at: row.try_get::<Millis, _>(6)?.0,
    })
}

fn undecoded(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
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

type Query<'q> = sqlx::query::QueryScalar<'q, sqlx::Postgres, i64, sqlx::postgres::PgArguments>;

/// Reservations with their JSON columns.
struct Rows<'a> {
    records: Vec<(&'a OrderId, &'a Record)>,
    items: Vec<String>,
    failed: Vec<Option<String>>,
}

impl<'a> Rows<'a> {
    fn of(records: Vec<(&'a OrderId, &'a Record)>) -> Self {
        let all = || records.iter().map(|(_, record)| *record);
        let failed = all().map(|record| record.failed.as_deref().map(failed_json));
        Self {
            items: all().map(|record| items_json(&record.items)).collect(),
            failed: failed.collect(),
            records,
        }
    }

    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        let all = || self.records.iter().map(|(_, record)| *record);
        let json = |text: &'q String| Json(text.as_bytes());
        let failed = self.failed.iter().map(move |text| text.as_ref().map(json));
        query
            .bind(self.records.iter().map(|(order, _)| order.0).bind_iter())
            .bind(all().map(|record| record.state.as_str()).bind_iter())
            .bind(self.items.iter().map(json).bind_iter())
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

/// Stores what is decided on the `locked` rows, with the replies to it. If one of the new reservations exists
/// already it returns `false`, and the caller must roll the transaction back.
pub(super) async fn store(
    connection: &mut PgConnection,
    locked: &Loaded,
    decided: &Decided,
    replies: &[(OrderId, OutboxRow)],
) -> Result<bool, sqlx::Error> {
    let Decided {
        levels, records, ..
    } = decided;
    if levels.is_empty() && records.is_empty() && replies.is_empty() {
        return Ok(true);
    }
    let is_old = |(order, _): &(&OrderId, &Record)| locked.records.contains_key(*order);
    let (old, new) = records.iter().partition(is_old);
    let (old, new) = (Rows::of(old), Rows::of(new));
    let query = sqlx::query_scalar(STORE)
        .bind(levels.keys().map(Sku::as_str).bind_iter())
        .bind(levels.values().map(|level| int8(level.on_hand)).bind_iter())
        .bind(
            levels
                .values()
                .map(|level| int8(level.reserved))
                .bind_iter(),
        );
    let query = bind_replies(new.bind(old.bind(query)), replies);
    let inserted: i64 = query.fetch_one(connection).await?;
    Ok(usize::try_from(inserted).is_ok_and(|inserted| inserted == new.records.len()))
}

fn bind_replies<'q>(query: Query<'q>, replies: &'q [(OrderId, OutboxRow)]) -> Query<'q> {
    let rows = || replies.iter().map(|(_, row)| row);
    let versions = rows().map(|row| i32::try_from(row.version).unwrap_or(-1));
    let ordinals = rows().map(|row| i16::try_from(row.ordinal).unwrap_or(-1));
    let lanes = replies.iter().map(|(order, _)| lane(*order));
    query
        .bind(replies.iter().map(|(order, _)| order.0).bind_iter())
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
