//! A batch of requests to the ledger in one transaction: load the rows that it touches, decide in memory,
//! store the changes. It needs no locks, because the file has only one writer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use sqlx::sqlite::SqliteConnection;
use trackops_cluster::{ShardCount, shard_of};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Ledger, Level, Outcome, Reply, Request, Reservation};
use trackops_domain::time::Timestamp;

use super::super::error::{corrupt, refused};
use super::super::outbox::insert;
use super::super::outbox_owner::Owner;
use super::super::text::json as to_json;
use super::level::level_of;
use super::reservations::{self, Stored};
use crate::model::outbox_row::OutboxRow;
use crate::ports::stock::{StockOutcome, StockRequest, check};

/// Applies `batch` in order. `now` is the time of the decisions, `inserted_at` that of the outbox rows.
pub(super) async fn apply(
    conn: &mut SqliteConnection,
    batch: &[StockRequest],
    now: Timestamp,
    inserted_at: Timestamp,
) -> sqlx::Result<Vec<StockOutcome>> {
    let orders: Vec<OrderId> = batch.iter().map(|request| request.order).collect();
    let reservations::Loaded {
        mut stored,
        unreadable,
    } = reservations::load(&mut *conn, &orders).await?;
    let before = load_levels(conn, batch, &stored).await?;
    let mut ledger = Ledger::new(before.clone());
    let held = stored
        .values()
        .filter(|known| known.state == Reservation::Held);
    check(&ledger, held.flat_map(|known| &known.items));
    let mut changed = BTreeSet::new();
    let mut replies = Vec::new();
    let mut outcomes = Vec::with_capacity(batch.len());
    for request in batch {
        if let Some(why) = unreadable.get(&request.order) {
            let why = format!("the order's reservation can't be read: {why}");
            outcomes.push(StockOutcome::Unreadable(why));
            continue;
        }
        let known = stored.get(&request.order);
        let held = known.map_or(&[][..], |known| &known.items);
        let outcome = ledger.apply(&request.request, known.map(|known| known.state), held);
        let outcome = match outcome {
            Outcome::Now { state, reply } => {
                let entry = stored
                    .entry(request.order)
                    .or_insert_with(|| Stored::new(state, now));
                entry.state = state;
                entry.updated_at = now;
                if let Request::Reserve(demand) = &request.request {
                    entry.items.clone_from(demand);
                }
                if let Some(reply) = reply {
                    entry.replied(&reply, now);
                    replies.push((request.order, given(entry, request, &reply)));
                }
                changed.insert(request.order);
                StockOutcome::Applied(state)
            }
            Outcome::Repeat => {
                replies.push((request.order, again(&stored, request)));
                StockOutcome::Repeated
            }
            Outcome::Ignored => StockOutcome::Ignored,
        };
        outcomes.push(outcome);
    }
    store_levels(conn, &before, ledger.levels()).await?;
    let changed: Vec<_> = changed
        .iter()
        .filter_map(|order| Some((*order, stored.get(order)?)))
        .collect();
    reservations::store(conn, &changed).await?;
    let messages: Vec<_> = replies
        .iter()
        .filter_map(|(order, reply)| Some((*order, lane(*order), reply.as_ref()?)))
        .collect();
    insert(conn, Owner::Inventory, &messages, inserted_at).await?;
    Ok(outcomes)
}

/// The outbox row of a reply that is given for the first time.
fn given(entry: &Stored, request: &StockRequest, reply: &Reply) -> Option<OutboxRow> {
    let trace = request.traceparent.as_ref();
    match reply {
        Reply::Reserved | Reply::Failed(_) => entry.answer(request.order, trace),
        Reply::Released => entry.release(request.order, trace),
    }
}

/// The outbox row that repeats the reply to the same request.
fn again(stored: &HashMap<OrderId, Stored>, request: &StockRequest) -> Option<OutboxRow> {
    let entry = stored.get(&request.order)?;
    let trace = request.traceparent.as_ref();
    match request.request {
        Request::Reserve(_) => entry.answer(request.order, trace),
        Request::Release => entry.release(request.order, trace),
        Request::Ship => None,
    }
}

/// The number that decides an order's outbox lane: any number that is always the same for the order.
fn lane(order: OrderId) -> u16 {
    shard_of(order.0.as_bytes(), ShardCount::DEFAULT).0
}

async fn load_levels(
    conn: &mut SqliteConnection,
    batch: &[StockRequest],
    stored: &HashMap<OrderId, Stored>,
) -> sqlx::Result<BTreeMap<Sku, Level>> {
    let mut skus = BTreeSet::new();
    for request in batch {
        if let Request::Reserve(demand) = &request.request {
            skus.extend(demand.iter().map(|(sku, _)| sku.as_str()));
        }
    }
    let held = stored.values().flat_map(|stored| &stored.items);
    skus.extend(held.map(|(sku, _)| sku.as_str()));
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
    before: &BTreeMap<Sku, Level>,
    after: &BTreeMap<Sku, Level>,
) -> sqlx::Result<()> {
    let changed = after
        .iter()
        .filter(|(sku, level)| before.get(*sku) != Some(*level))
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
