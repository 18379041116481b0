//! A batch of requests to the ledger in one transaction: load the rows that it touches, decide in memory,
//! store the changes. It needs no locks, because the file has only one writer.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;
use trackops_cluster::{ShardCount, shard_of};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Level;
use trackops_domain::stock::record::Record;
use trackops_domain::time::Timestamp;

use super::super::error::{corrupt, refused};
use super::super::outbox::insert;
use super::super::outbox_owner::Owner;
use super::super::text::json as to_json;
use super::level::level_of;
use super::reservations;
use crate::codec::stock::reply_row;
use crate::model::outbox_row::OutboxRow;
use crate::ports::stock::{StockOutcome, StockRequest, decide, demanded};

/// Applies `batch` in order. `now` is the time of the decisions, `inserted_at` that of the outbox rows.
pub(super) async fn apply(
    conn: &mut SqliteConnection,
    batch: &[StockRequest],
    now: Timestamp,
    inserted_at: Timestamp,
) -> sqlx::Result<Vec<StockOutcome>> {
    let orders: Vec<OrderId> = batch.iter().map(|request| request.order).collect();
    let mut loaded = reservations::load(&mut *conn, &orders).await?;
    loaded.levels = load_levels(conn, batch, &loaded.records).await?;
    let decided = decide(batch, &loaded, now);
    store_levels(conn, &decided.levels).await?;
    reservations::store(conn, &decided.records).await?;
    let replies: Vec<(OrderId, OutboxRow)> = batch
        .iter()
        .zip(&decided.answers)
        .filter_map(|(request, answer)| {
            let (order, trace) = (request.order, request.traceparent.as_ref());
            Some((order, reply_row(order, answer.as_ref()?, trace)))
        })
        .collect();
    let messages: Vec<_> = replies
        .iter()
        .map(|(order, reply)| (*order, lane(*order), reply))
        .collect();
    insert(conn, Owner::Inventory, &messages, inserted_at).await?;
    Ok(decided.outcomes)
}

/// The number that decides an order's outbox lane: any number that is always the same for the order.
fn lane(order: OrderId) -> u16 {
    shard_of(order.0.as_bytes(), ShardCount::DEFAULT).0
}

async fn load_levels(
    conn: &mut SqliteConnection,
    batch: &[StockRequest],
    records: &BTreeMap<OrderId, Record>,
) -> sqlx::Result<BTreeMap<Sku, Level>> {
    let mut skus = demanded(batch);
    let held = records.values().flat_map(|record| &record.items);
    skus.extend(held.map(|(sku, _)| sku));
    let skus: Vec<&str> = skus.into_iter().map(Sku::as_str).collect();
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT sku, on_hand, reserved FROM stock_items
         WHERE sku IN (SELECT value FROM json_each(?1))",
    )
    .bind(to_json(&skus))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(sku, on_hand, reserved)| {
            let sku = Sku::parse(&sku).ok_or_else(|| corrupt("SKU"))?;
            Ok((sku, level_of(on_hand, reserved)))
        })
        .collect()
}

async fn store_levels(
    conn: &mut SqliteConnection,
    changed: &BTreeMap<Sku, Level>,
) -> sqlx::Result<()> {
    let changed = changed
        .iter()
        .map(|(sku, level)| {
            let number = |n| i64::try_from(n).map_err(|_| refused("quantity out of range"));
            Ok(json!([
                sku.as_str(),
                number(level.on_hand)?,
                number(level.reserved)?
            ]))
        })
        .collect::<sqlx::Result<Vec<_>>>()?;
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        // An insert that always conflicts: its plan reads no table.
        "INSERT INTO stock_items (sku, on_hand, reserved)
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
         ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved",
    )
    .bind(to_json(&changed))
    .execute(conn)
    .await
    .map(drop)
}
