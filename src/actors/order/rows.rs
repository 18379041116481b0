//! The rows by which an order's actor commits a decision: head, event, and outbox rows. The writer fills in
//! their epoch.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::event::OrderEvent;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::saga::{Intent, intents, intents_of};

use crate::codec::{messages, stored};
use crate::model::event_row::EventRow;
use crate::model::outbox_row::OutboxRow;
use crate::ports::journal::{AppendRow, Head};

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

/// The row that commits the placement `event` of `order`, whose rendered view is `view`.
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
    // A message that is sent again belongs to the current version: nothing is asked of inventory after it.
    let all = intents_of(after.status());
    let outbox = messages::outbox_rows(after, all, resend, traceparent);
    row(shard, after, Some(after.version()), None, outbox)
}

fn row(
    shard: ShardId,
    after: &Order,
    expected: Option<Version>,
    event: Option<EventRow>,
    outbox: SmallVec<[OutboxRow; 2]>,
) -> AppendRow {
    AppendRow {
        order: after.id,
        shard,
        // The commit queue fills it in, as late as possible.
        epoch: Epoch(0),
        expected,
        head: Head {
            version: after.version(),
            status: after.status(),
            customer: after.placed.customer,
            shop: after.placed.shop.clone(),
            created_at: after.created_at(),
            updated_at: after.updated_at(),
            deadline: after.saga.deadline,
            saga: stored::saga(after),
        },
        event,
        outbox,
    }
}
