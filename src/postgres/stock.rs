//! Stock on PostgreSQL: a batch of requests is one transaction. Reservations are locked in order of
//! order id, then items in order of SKU, then new reservations are inserted in order of order id, so
//! overlapping batches wait for each other and never in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Ledger, Level, Outcome, Request, Reservation};
use trackops_domain::time::Timestamp;

use super::connections::Connections;
use super::listener;
use super::stock_keys as keys;
use super::stock_record::Record;
use super::stock_rows as rows;
use crate::ports::stock::{
    ReservationView, StockError, StockOutcome, StockRequest, StockStore, check,
};

/// How often a batch is tried when it loses against an overlapping one (deadlock, serialization, the
/// same order inserted meanwhile). Locks are taken in one order, so even twice is rare.
const TRIES_MAX: u32 = 4;

/// The inventory's stock on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgStock {
    writes: Arc<Connections>,
    reads: Arc<Connections>,
}

/// How a transaction of a batch ended.
enum Attempt {
    Done {
        outcomes: Vec<StockOutcome>,
        /// Replies were put into the outbox.
        has_replies: bool,
    },
    /// Another batch inserted one of the same orders in between.
    Overtaken,
}

impl PgStock {
    pub(super) fn new(writes: Arc<Connections>, reads: Arc<Connections>) -> Self {
        Self { writes, reads }
    }

    /// What it announces is committed and will be found by the relay's timer anyway.
    async fn announce(&self) {
        if let Err(error) = listener::announce(&self.reads).await {
            tracing::debug!(%error, "replies could not be announced");
        }
    }
}

#[async_trait]
impl StockStore for PgStock {
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let connection = self.writes.take().await?;
            let attempt = connection
                .run(async |connection| try_apply(connection, batch, now).await)
                .await;
            match attempt {
                Ok(Attempt::Done {
                    outcomes,
                    has_replies,
                }) => {
                    if has_replies {
                        self.announce().await;
                    }
                    return Ok(outcomes);
                }
                Err(failure) if !failure.is_transient() => return Err(failure.into()),
                Ok(Attempt::Overtaken) | Err(_) if tries < TRIES_MAX => {}
                Ok(Attempt::Overtaken) => {
                    return Err(StockError::Unavailable(
                        "overtaken again and again by other batches of the same orders".into(),
                    ));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        key: Option<&str>,
    ) -> Result<(Level, bool), StockError> {
        let Ok(wanted) = i64::try_from(on_hand) else {
            return Err(StockError::BadRequest("the quantity is too large".into()));
        };
        let connection = self.writes.take().await?;
        connection
            .run(async |connection| set_level(connection, sku, wanted, key).await)
            .await?
    }

    async fn item(&self, sku: &Sku) -> Result<Option<Level>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| rows::level(connection, sku).await)
            .await?;
        Ok(found)
    }

    async fn items(
        &self,
        after: Option<&Sku>,
        limit: u32,
    ) -> Result<Vec<(Sku, Level)>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| rows::levels_after(connection, after, limit).await)
            .await?;
        Ok(found)
    }

    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| rows::reservations(connection, &[order]).await)
            .await?;
        Ok(found
            .into_iter()
            .next()
            .map(|(order, record)| ReservationView {
                order,
                state: record.state,
                items: record.items,
                updated_at: record.updated_at,
            }))
    }

    async fn ping(&self) -> Result<(), StockError> {
        let connection = self.reads.take().await?;
        connection
            .run(async |connection| sqlx::query("SELECT 1").execute(connection).await)
            .await?;
        Ok(())
    }
}

async fn try_apply(
    connection: &mut PgConnection,
    batch: &[StockRequest],
    now: Timestamp,
) -> Result<Attempt, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let attempt = decide_and_store(&mut transaction, batch, now).await;
    match attempt {
        Ok(done @ Attempt::Done { .. }) => {
            transaction.commit().await?;
            Ok(done)
        }
        Ok(Attempt::Overtaken) => {
            transaction.rollback().await?;
            Ok(Attempt::Overtaken)
        }
        Err(error) => {
            // At once, not when the connection is used next: it holds locks. What failed first is
            // what matters; if this fails too, the connection is in no known state.
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn decide_and_store(
    connection: &mut PgConnection,
    batch: &[StockRequest],
    now: Timestamp,
) -> Result<Attempt, sqlx::Error> {
    let orders: BTreeSet<OrderId> = batch.iter().map(|request| request.order).collect();
    let orders: Vec<OrderId> = orders.into_iter().collect();
    let stored = rows::lock_reservations(connection, &orders).await?;
    let levels = rows::lock_levels(connection, &skus(batch, &stored)).await?;

    let mut ledger = Ledger::new(levels.clone());
    let held = stored
        .values()
        .filter(|record| record.state == Reservation::Held);
    check(&ledger, held.flat_map(|record| &record.items));
    let mut records = stored.clone();
    let mut messages = Vec::new();
    let mut outcomes = Vec::with_capacity(batch.len());
    for request in batch {
        let known = records.get(&request.order);
        let held = known.map_or(&[][..], |record| &record.items);
        let outcome = ledger.apply(&request.request, known.map(|record| record.state), held);
        outcomes.push(match outcome {
            Outcome::Ignored => StockOutcome::Ignored,
            Outcome::Repeat => {
                messages.extend(known.and_then(|record| record.reply(request)));
                StockOutcome::Repeated
            }
            Outcome::Now { state, reply } => {
                let record = Record::after(known, request, state, reply.as_ref(), now);
                messages.extend(reply.is_some().then(|| record.reply(request)).flatten());
                records.insert(request.order, record);
                StockOutcome::Applied(state)
            }
        });
    }

    let changed: BTreeMap<&Sku, Level> = ledger
        .levels()
        .iter()
        .filter(|(sku, level)| levels.get(*sku) != Some(*level))
        .map(|(sku, level)| (sku, *level))
        .collect();
    rows::store_levels(connection, &changed).await?;
    let (new, old): (Vec<_>, Vec<_>) = records
        .iter()
        .filter(|(order, record)| stored.get(*order) != Some(*record))
        .partition(|(order, _)| !stored.contains_key(*order));
    rows::update_reservations(connection, &old).await?;
    if !rows::insert_reservations(connection, &new).await? {
        return Ok(Attempt::Overtaken);
    }
    rows::insert_messages(connection, &messages).await?;
    Ok(Attempt::Done {
        outcomes,
        has_replies: !messages.is_empty(),
    })
}

/// Every SKU that the batch may touch: what is asked for, and what is held by orders that may give
/// it up.
fn skus(batch: &[StockRequest], stored: &BTreeMap<OrderId, Record>) -> Vec<Sku> {
    let mut skus = BTreeSet::new();
    for request in batch {
        if let Request::Reserve(demand) = &request.request {
            skus.extend(demand.iter().map(|(sku, _)| sku.clone()));
        }
    }
    for record in stored.values() {
        if record.state == Reservation::Held {
            skus.extend(record.items.iter().map(|(sku, _)| sku.clone()));
        }
    }
    skus.into_iter().collect()
}

async fn set_level(
    connection: &mut PgConnection,
    sku: &Sku,
    wanted: i64,
    key: Option<&str>,
) -> Result<Result<(Level, bool), StockError>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if let Some(key) = key
        && let Some(known) = keys::take_key(&mut transaction, key, sku, wanted).await?
    {
        let level = rows::level(&mut transaction, sku).await?;
        transaction.rollback().await?;
        if known.sku != sku.as_str() || known.on_hand != wanted {
            return Ok(Err(StockError::KeyReused));
        }
        let first = known.reserved.map(|reserved| Level {
            on_hand: u64::try_from(wanted).unwrap_or(0),
            reserved: u64::try_from(reserved).unwrap_or(0),
        });
        return Ok(Ok((first.or(level).unwrap_or_default(), true)));
    }
    let set = rows::set_on_hand(&mut transaction, sku, wanted).await?;
    let Some(level) = set else {
        let level = rows::level(&mut transaction, sku).await?;
        transaction.rollback().await?;
        let reserved = level.unwrap_or_default().reserved;
        return Ok(Err(StockError::BelowReserved { reserved }));
    };
    if let Some(key) = key {
        keys::keep_answer(&mut transaction, key, level).await?;
    }
    transaction.commit().await?;
    Ok(Ok((level, false)))
}
