//! One batch of requests in one transaction: lock and read, decide, write.

use sqlx::{Connection as _, PgConnection};
use trackops_domain::ids::OrderId;
use trackops_domain::time::Timestamp;

use super::stock_rows as rows;
use crate::codec::stock::reply_row;
use crate::faults;
use crate::model::outbox_row::OutboxRow;
use crate::ports::stock::{StockOutcome, StockRequest, decide, demanded};

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
    let orders = batch.iter().map(|request| request.order).collect();
    let locked = rows::lock(connection, &orders, &demanded(batch)).await?;
    faults::crash(faults::points::CRASH_AFTER_STOCK_LOCK);
    let decided = decide(batch, &locked, now);
    let replies: Vec<(OrderId, OutboxRow)> = batch
        .iter()
        .zip(&decided.answers)
        .filter_map(|(request, answer)| {
            let (order, trace) = (request.order, request.traceparent.as_ref());
            Some((order, reply_row(order, answer.as_ref()?, trace)))
        })
        .collect();
    if !rows::store(connection, &locked, &decided, &replies).await? {
        return Ok(Attempt::Overtaken);
    }
    Ok(Attempt::Done {
        outcomes: decided.outcomes,
        has_replies: !replies.is_empty(),
    })
}
