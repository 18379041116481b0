//! What an order's actor writes, and what a failed write means to the caller.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::event::OrderEvent;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::saga::{Intent, intents, intents_of};

use super::writer::WriteError;
use crate::codec::{messages, stored};
use crate::model::event_row::EventRow;
use crate::model::orders_error::OrdersError;
use crate::ports::journal::{AppendRow, Head, JournalError};

/// When to come back after the journal was away: it is back within seconds or it takes minutes.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The row that commits `event`, which leads from the version `expected` to `after`.
pub(super) fn event_row(
    shard: ShardId,
    after: &Order,
    event: &OrderEvent,
    expected: Version,
    traceparent: Option<&Arc<str>>,
) -> AppendRow {
    let all = intents(event);
    row(
        shard,
        after,
        Some(expected),
        Some(crate::codec::stored::event_row(event)),
        messages::outbox_rows(after, all, all, traceparent),
    )
}

/// The row that commits the placement `event` of `order`, of which `view` is the view.
pub(super) fn placed_row(
    shard: ShardId,
    order: &Order,
    event: &OrderEvent,
    view: &Bytes,
    traceparent: Option<&Arc<str>>,
) -> AppendRow {
    let outbox = messages::created_row(order, view, traceparent);
    row(
        shard,
        order,
        None,
        Some(crate::codec::stored::event_row(event)),
        std::iter::once(outbox).collect(),
    )
}

/// The row that commits saga bookkeeping and sends `resend` again under their first ids.
pub(super) fn bookkeeping_row(
    shard: ShardId,
    after: &Order,
    resend: &[Intent],
    traceparent: Option<&Arc<str>>,
) -> AppendRow {
    // What is sent again belongs to the current version: inventory is asked for nothing after it.
    let all = intents_of(after.status());
    let outbox = messages::outbox_rows(after, all, resend, traceparent);
    row(shard, after, Some(after.version()), None, outbox)
}

fn row(
    shard: ShardId,
    after: &Order,
    expected: Option<Version>,
    event: Option<EventRow>,
    outbox: SmallVec<[crate::model::outbox_row::OutboxRow; 2]>,
) -> AppendRow {
    AppendRow {
        order: after.id,
        shard,
        // Filled in by the writer's lane, as late as possible.
        epoch: Epoch(0),
        expected,
        head: Head {
            version: after.version(),
            status: after.status(),
            customer: after.placed.customer,
            created_at: after.created_at(),
            updated_at: after.updated_at(),
            deadline: after.saga.deadline,
            saga: stored::saga(after),
        },
        event,
        outbox,
    }
}

/// The caller's error for a write that did not happen.
pub(super) fn failed(error: WriteError) -> OrdersError {
    match error {
        WriteError::Unavailable => unavailable("the journal is away"),
        WriteError::Unknown => unavailable("the journal was lost; the outcome is being settled"),
        WriteError::NotOwner => OrdersError::NotOwner,
        WriteError::Conflict => OrdersError::Restarted,
        WriteError::Refused => OrdersError::Broken {
            why: "the journal refuses the data",
        },
    }
}

/// The caller's error for a load that failed.
pub(super) fn load_failed(error: JournalError) -> OrdersError {
    match error {
        JournalError::Unavailable(_) => unavailable("the journal is away"),
        JournalError::Corrupt(source) => {
            tracing::error!(%source, "a stored order can't be read");
            OrdersError::Broken {
                why: "the stored order can't be read",
            }
        }
    }
}

/// Not now; `why` goes into the problem's detail.
pub(super) fn unavailable(why: &'static str) -> OrdersError {
    OrdersError::Unavailable {
        why,
        retry_after: RETRY_AFTER,
    }
}
