//! Stored reservations, and the replies that follow from them.

use std::collections::HashMap;

use serde_json::json;
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{Executor, Row as _};
use std::sync::Arc;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Reply, Reservation};
use trackops_domain::time::Timestamp;

use super::super::error::corrupt;
use super::super::text::{hex, json as to_json};
use crate::codec::message_id::{Publisher, message_id};
use crate::codec::messages::InventoryReplyV1;
use crate::model::outbox_row::OutboxRow;
use crate::model::topic::Topic;

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

/// The version of the reply to a reservation request in its message id and in the outbox.
const VERSION_OF_ANSWER: u32 = 1;
/// The version of the reply to a release.
const VERSION_OF_RELEASE: u32 = 2;

/// One order's reservation as stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) state: Reservation,
    pub(super) items: Vec<(Sku, u64)>,
    /// The SKUs that were short, if it failed.
    pub(super) failed: Option<Vec<Sku>>,
    /// When the request was answered.
    pub(super) replied_at: Option<Timestamp>,
    /// When the release was answered.
    pub(super) released_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
}

impl Stored {
    /// A reservation on which nothing has happened yet.
    pub(super) fn new(state: Reservation, now: Timestamp) -> Self {
        Self {
            state,
            items: Vec::new(),
            failed: None,
            replied_at: None,
            released_at: None,
            updated_at: now,
        }
    }

    /// Notes that `reply` is given at `now`.
    pub(super) fn replied(&mut self, reply: &Reply, now: Timestamp) {
        match reply {
            Reply::Reserved => self.replied_at = Some(now),
            Reply::Failed(short) => {
                self.replied_at = Some(now);
                self.failed = Some(short.clone());
            }
            Reply::Released => self.released_at = Some(now),
        }
    }

    /// The answer to the reservation request, the same whenever it is asked for.
    pub(super) fn answer(&self, order: OrderId, trace: Option<&Arc<str>>) -> Option<OutboxRow> {
        let at = self.replied_at?;
        Some(match &self.failed {
            None => row(order, Topic::InventoryReserved, at, &[], trace),
            Some(short) => row(order, Topic::InventoryReservationFailed, at, short, trace),
        })
    }

    /// The answer to the release.
    pub(super) fn release(&self, order: OrderId, trace: Option<&Arc<str>>) -> Option<OutboxRow> {
        let at = self.released_at?;
        Some(row(order, Topic::InventoryReleased, at, &[], trace))
    }
}

fn row(
    order: OrderId,
    topic: Topic,
    at: Timestamp,
    short: &[Sku],
    trace: Option<&Arc<str>>,
) -> OutboxRow {
    let version = match topic {
        Topic::InventoryReleased => VERSION_OF_RELEASE,
        _ => VERSION_OF_ANSWER,
    };
    let failed_items: Vec<String> = short.iter().map(ToString::to_string).collect();
    let reply = InventoryReplyV1 {
        order_id: order.0,
        at,
        reason: (!short.is_empty()).then(|| format!("not in stock: {}", failed_items.join(", "))),
        failed_items,
    };
    OutboxRow {
        id: message_id(Publisher::Inventory, order, version, 0, at),
        topic,
        version,
        ordinal: 0,
        at,
        payload: to_json(&reply).into(),
        traceparent: trace.cloned(),
    }
}

/// Reservations as loaded.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) stored: HashMap<OrderId, Stored>,
    /// Reservations that can't be read, and why.
    pub(super) unreadable: HashMap<OrderId, String>,
}

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
        match stored(row) {
            Ok(stored) => drop(loaded.stored.insert(order, stored)),
            Err(error) => drop(loaded.unreadable.insert(order, error.to_string())),
        }
    }
    Ok(loaded)
}

fn stored(row: &SqliteRow) -> sqlx::Result<Stored> {
    let items: Vec<(String, u64)> = parse(row.try_get(2)?)?;
    let failed: Option<Vec<String>> = row.try_get::<Option<&str>, _>(3)?.map(parse).transpose()?;
    let skus = |names: Vec<String>| names.iter().map(|name| sku(name)).collect();
    Ok(Stored {
        state: Reservation::parse(row.try_get(1)?).ok_or_else(|| corrupt("reservation state"))?,
        items: items
            .iter()
            .map(|(name, quantity)| Ok((sku(name)?, *quantity)))
            .collect::<sqlx::Result<_>>()?,
        failed: failed.map(skus).transpose()?,
        replied_at: row.try_get::<Option<i64>, _>(4)?.map(Timestamp),
        released_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        updated_at: Timestamp(row.try_get(6)?),
    })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn sku(name: &str) -> sqlx::Result<Sku> {
    Sku::parse(name).ok_or_else(|| corrupt("SKU"))
}

/// Stores `changed`.
pub(super) async fn store(
    conn: &mut SqliteConnection,
    changed: &[(OrderId, &Stored)],
) -> sqlx::Result<()> {
    let rows: Vec<_> = changed
        .iter()
        .map(|(order, stored)| {
            let items: Vec<_> = stored.items.iter().map(|(s, q)| (s.as_str(), q)).collect();
            let failed = stored
                .failed
                .as_ref()
                .map(|skus| to_json(&skus.iter().map(Sku::as_str).collect::<Vec<_>>()));
            json!([
                hex(order.0),
                stored.state.as_str(),
                to_json(&items),
                failed,
                stored.replied_at.map(|at| at.0),
                stored.released_at.map(|at| at.0),
                stored.updated_at.0,
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
