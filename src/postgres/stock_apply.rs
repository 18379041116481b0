//! One batch of requests in one transaction: lock and read, decide, write.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection as _, PgConnection};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Ledger, Level, Outcome, Request, Reservation};
use trackops_domain::time::Timestamp;

use super::stock_record::{Message, Record};
use super::stock_rows::{self as rows, Changes, Locked};
use crate::faults;
use crate::ports::stock::{StockOutcome, StockRequest, check};

/// How a transaction of a batch ended.
pub(super) enum Attempt {
    Done {
        outcomes: Vec<StockOutcome>,
        /// Replies were put into the outbox.
        has_replies: bool,
    },
    /// Another batch inserted one of the same orders in between.
    Overtaken,
}

/// The result of deciding the requests on the stored state.
struct Decided {
    outcomes: Vec<StockOutcome>,
    records: BTreeMap<OrderId, Record>,
    messages: Vec<Message>,
}

pub(super) async fn try_apply(
    connection: &mut PgConnection,
    batch: &[StockRequest],
    now: Timestamp,
) -> Result<Attempt, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let attempt = decide_and_store(&mut transaction, batch, now).await;
    match attempt {
        Ok(done @ Attempt::Done { .. }) => {
            faults::crash(faults::points::CRASH_BEFORE_STOCK_COMMIT);
            transaction.commit().await?;
            Ok(done)
        }
        Ok(Attempt::Overtaken) => {
            transaction.rollback().await?;
            Ok(Attempt::Overtaken)
        }
        Err(error) => {
            // Rolled back at once, not when the connection is used next, because the transaction holds locks.
            // The first failure is the one to report; if this fails too, the state of the connection is
            // unknown.
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
    let locked = rows::lock(connection, &orders(batch), &demanded(batch)).await?;
    faults::crash(faults::points::CRASH_AFTER_STOCK_LOCK);
    let mut ledger = Ledger::new(locked.levels.clone());
    let held = locked.records.values();
    let held = held.filter(|record| record.state == Reservation::Held);
    check(&ledger, held.flat_map(|record| &record.items));

    let decided = decide(batch, &locked, &mut ledger, now);
    let levels: BTreeMap<&Sku, Level> = ledger
        .levels()
        .iter()
        .filter(|(sku, level)| locked.levels.get(*sku) != Some(*level))
        .map(|(sku, level)| (sku, *level))
        .collect();
    let (new, old): (Vec<_>, Vec<_>) = decided
        .records
        .iter()
        .partition(|(order, _)| !locked.records.contains_key(*order));
    let changes = Changes {
        levels: &levels,
        new: &new,
        old: &old,
        messages: &decided.messages,
    };
    if !rows::store(connection, &changes).await? {
        return Ok(Attempt::Overtaken);
    }
    Ok(Attempt::Done {
        outcomes: decided.outcomes,
        has_replies: !decided.messages.is_empty(),
    })
}

/// Decides the batch; `records` of the result are those that it changes.
fn decide(batch: &[StockRequest], locked: &Locked, ledger: &mut Ledger, now: Timestamp) -> Decided {
    let mut records = BTreeMap::<OrderId, Record>::new();
    let mut messages = Vec::new();
    let mut outcomes = Vec::with_capacity(batch.len());
    for request in batch {
        let known = records.get(&request.order);
        let known = known.or_else(|| locked.records.get(&request.order));
        if let Some(why) = locked.unreadable(request, known) {
            outcomes.push(StockOutcome::Unreadable(why));
            continue;
        }
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
    Decided {
        outcomes,
        records,
        messages,
    }
}

fn orders(batch: &[StockRequest]) -> Vec<OrderId> {
    let orders: BTreeSet<OrderId> = batch.iter().map(|request| request.order).collect();
    orders.into_iter().collect()
}

/// Every SKU that the batch asks for. The SKUs that releases give back are known only once the reservations
/// are read.
fn demanded(batch: &[StockRequest]) -> Vec<Sku> {
    let mut skus = BTreeSet::new();
    for request in batch {
        if let Request::Reserve(demand) = &request.request {
            skus.extend(demand.iter().map(|(sku, _)| sku.clone()));
        }
    }
    skus.into_iter().collect()
}
