//! A reservation as stored, and the replies that follow from it. A repeated request gets the same reply as
//! the first.

use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Reply, Request, Reservation};
use trackops_domain::time::Timestamp;

use crate::codec::message_id::{Publisher, message_id};
use crate::codec::messages::InventoryReplyV1;
use crate::model::outbox_row::OutboxRow;
use crate::model::topic::Topic;
use crate::ports::stock::StockRequest;

/// The numbers of the reply to a reservation and of the reply to a release among an order's messages.
const RESERVE_REPLY: u32 = 1;
const RELEASE_REPLY: u32 = 2;

/// A reservation as stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub state: Reservation,
    /// The items that are or were held, or were asked for.
    pub items: Vec<(Sku, u64)>,
    /// The SKUs that were short, if the first answer was a refusal.
    pub failed: Option<Vec<Sku>>,
    /// When the first answer was given.
    pub replied_at: Option<Timestamp>,
    /// When the release was answered.
    pub released_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

/// A message to publish.
pub(super) struct Message {
    pub order: OrderId,
    pub row: OutboxRow,
}

impl Record {
    /// The record that `known` becomes when `request` has an outcome at `now`.
    pub fn after(
        known: Option<&Self>,
        request: &StockRequest,
        state: Reservation,
        reply: Option<&Reply>,
        now: Timestamp,
    ) -> Self {
        let mut record = known.cloned().unwrap_or(Self {
            state,
            items: Vec::new(),
            failed: None,
            replied_at: None,
            released_at: None,
            updated_at: now,
        });
        record.state = state;
        record.updated_at = now;
        if let Request::Reserve(demand) = &request.request {
            record.items.clone_from(demand);
        }
        match reply {
            Some(Reply::Reserved) => record.replied_at = Some(now),
            Some(Reply::Failed(short)) => {
                record.replied_at = Some(now);
                record.failed = Some(short.clone());
            }
            Some(Reply::Released) => record.released_at = Some(now),
            None => {}
        }
        record
    }

    /// The answer to `request`, given for the first time or again: the same each time.
    pub fn reply(&self, request: &StockRequest) -> Option<Message> {
        match &request.request {
            Request::Reserve(_) => {
                let topic = match self.failed {
                    None => Topic::InventoryReserved,
                    Some(_) => Topic::InventoryReservationFailed,
                };
                let failed = self.failed.as_deref().unwrap_or_default();
                Some(message(
                    request,
                    topic,
                    RESERVE_REPLY,
                    self.replied_at?,
                    failed,
                ))
            }
            Request::Release => {
                let at = self.released_at?;
                Some(message(
                    request,
                    Topic::InventoryReleased,
                    RELEASE_REPLY,
                    at,
                    &[],
                ))
            }
            Request::Ship => None,
        }
    }
}

fn message(
    request: &StockRequest,
    topic: Topic,
    version: u32,
    at: Timestamp,
    failed: &[Sku],
) -> Message {
    let names: Vec<String> = failed.iter().map(|sku| sku.as_str().into()).collect();
    let body = InventoryReplyV1 {
        order_id: request.order.0,
        at,
        reason: (!names.is_empty()).then(|| format!("not in stock: {}", names.join(", "))),
        failed_items: names,
    };
    Message {
        order: request.order,
        row: OutboxRow {
            id: message_id(Publisher::Inventory, request.order, version, 0, at),
            topic,
            version,
            ordinal: 0,
            at,
            // Writing a plain struct to memory has no way to fail.
            payload: serde_json::to_vec(&body).unwrap_or_default().into(),
            traceparent: request.traceparent.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::messages::headers;
    use crate::codec::samples;
    use crate::model::outbox_row::{OutboxEntry, RowId};

    /// The answer to `request` that `reply` makes, as it is published.
    fn published(request: Request, state: Reservation, reply: &Reply) -> String {
        let request = StockRequest {
            order: samples::id(),
            request,
            traceparent: Some(samples::TRACEPARENT.into()),
        };
        let record = Record::after(None, &request, state, Some(reply), samples::minutes(1));
        let Message { order, row } = record.reply(&request).expect("a reply");
        let row_id = RowId { lane: 0, seq: 0 };
        let entry = OutboxEntry { row_id, order, row };
        let mut lines: Vec<String> = headers(&entry, "inventory")
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.push(String::new());
        lines.push(String::from_utf8(entry.row.payload.to_vec()).expect("UTF-8"));
        lines.join("\n")
    }

    #[test]
    fn what_inventory_publishes_keeps_its_form() {
        let sku = |name: &str| Sku::parse(name).expect("a SKU");
        let demand = || Request::Reserve(vec![(sku("PIZZA"), 2), (sku("COLA"), 1)]);
        let reserved = published(demand(), Reservation::Held, &Reply::Reserved);
        insta::assert_snapshot!("reserved", reserved);
        let short = Reply::Failed(vec![sku("COLA"), sku("PIZZA")]);
        let failed = published(demand(), Reservation::Failed, &short);
        insta::assert_snapshot!("failed", failed);
        let released = published(Request::Release, Reservation::Released, &Reply::Released);
        insta::assert_snapshot!("released", released);
    }
}
