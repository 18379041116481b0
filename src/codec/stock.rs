//! Inventory's replies as they are published, and the JSON in the rows of its reservations.

use std::sync::Arc;

use serde::de::Error as _;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Reply;
use trackops_domain::stock::record::Answer;

use super::message_id::{Publisher, message_id};
use super::messages::InventoryReplyV1;
use crate::model::outbox_row::OutboxRow;
use crate::model::topic::Topic;

/// The number of the reply to a reservation among an order's messages.
const RESERVE_REPLY: u32 = 1;
/// The number of the reply to a release.
const RELEASE_REPLY: u32 = 2;

/// The outbox row of `answer`, the same whenever it is given.
pub fn reply_row(order: OrderId, answer: &Answer, traceparent: Option<&Arc<str>>) -> OutboxRow {
    let Answer { reply, at } = answer;
    let (topic, version, failed) = match reply {
        Reply::Reserved => (Topic::InventoryReserved, RESERVE_REPLY, &[][..]),
        Reply::Failed(short) => (Topic::InventoryReservationFailed, RESERVE_REPLY, &short[..]),
        Reply::Released => (Topic::InventoryReleased, RELEASE_REPLY, &[][..]),
    };
    let failed_items: Vec<String> = failed.iter().map(ToString::to_string).collect();
    let body = InventoryReplyV1 {
        order_id: order.0,
        at: *at,
        reason: (!failed.is_empty()).then(|| format!("not in stock: {}", failed_items.join(", "))),
        failed_items,
    };
    OutboxRow {
        id: message_id(Publisher::Inventory, order, version, 0, *at),
        topic,
        version,
        ordinal: 0,
        at: *at,
        // Writing a plain struct to memory has no way to fail.
        payload: serde_json::to_vec(&body).unwrap_or_default().into(),
        traceparent: traceparent.cloned(),
    }
}

/// The items of a reservation as stored.
pub fn items_json(items: &[(Sku, u64)]) -> String {
    let pairs: Vec<(&str, u64)> = items.iter().map(|(sku, n)| (sku.as_str(), *n)).collect();
    // Writing text and numbers to memory has no way to fail.
    serde_json::to_string(&pairs).unwrap_or_default()
}

/// Reads what [`items_json`] wrote.
pub fn items_of(json: &str) -> serde_json::Result<Vec<(Sku, u64)>> {
    let pairs: Vec<(String, u64)> = serde_json::from_str(json)?;
    let items = pairs.into_iter().map(|(name, n)| Ok((sku(&name)?, n)));
    items.collect()
}

/// The SKUs that were short, as stored.
pub fn failed_json(skus: &[Sku]) -> String {
    let names: Vec<&str> = skus.iter().map(Sku::as_str).collect();
    serde_json::to_string(&names).unwrap_or_default()
}

/// Reads what [`failed_json`] wrote.
pub fn failed_of(json: &str) -> serde_json::Result<Vec<Sku>> {
    let names: Vec<String> = serde_json::from_str(json)?;
    names.iter().map(|name| sku(name)).collect()
}

fn sku(name: &str) -> serde_json::Result<Sku> {
    Sku::parse(name).ok_or_else(|| serde_json::Error::custom("impossible SKU"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::messages::headers;
    use crate::codec::samples;
    use crate::model::outbox_row::{OutboxEntry, RowId};

    /// The answer as it is published.
    fn published(reply: Reply) -> String {
        let at = samples::minutes(1);
        let (order, trace) = (samples::id(), samples::TRACEPARENT.into());
        let row = reply_row(order, &Answer { reply, at }, Some(&trace));
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

    fn skus(names: [&str; 2]) -> Vec<Sku> {
        names.map(|name| sku(name).expect("a SKU")).to_vec()
    }

    #[test]
    fn what_inventory_publishes_keeps_its_form() {
        let reserved = published(Reply::Reserved);
        insta::assert_snapshot!("reserved", reserved);
        let failed = published(Reply::Failed(skus(["COLA", "PIZZA"])));
        insta::assert_snapshot!("failed", failed);
        let released = published(Reply::Released);
        insta::assert_snapshot!("released", released);
    }

    #[test]
    fn what_is_stored_of_a_reservation_keeps_its_form() {
        let skus = skus(["COLA", "PIZZA"]);
        let (failed, items) = (r#"["COLA","PIZZA"]"#, r#"[["COLA",1],["PIZZA",2]]"#);
        assert_eq!(failed_json(&skus), failed);
        assert_eq!(failed_of(failed).expect("a list"), skus);
        let pairs: Vec<_> = skus.into_iter().zip(1..).collect();
        assert_eq!(items_json(&pairs), items);
        assert_eq!(items_of(items).expect("a list"), pairs);
        let refused = items_of(r#"[["",1]]"#).expect_err("no SKU");
        assert_eq!(refused.to_string(), "impossible SKU");
    }
}
