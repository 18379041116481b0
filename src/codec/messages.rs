//! Published messages: JSON bodies of each topic and the `CloudEvents` attributes around them
//! (binary mode: attributes in headers).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;
use trackops_domain::ids::{MessageId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::saga::Intent;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::message_id::{Publisher, message_id};
use super::rfc3339;
use super::schema::{OrderStatus, OrderVersion, SkuName, Time};
use super::view::OrderView;
use crate::model::outbox_row::{OutboxEntry, OutboxRow};
use crate::model::topic::Topic;

/// `ORDER_STATUS_UPDATED`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderStatusUpdated)]
pub struct StatusUpdatedV1 {
    /// Which order.
    pub order_id: uuid::Uuid,
    /// Before.
    #[schema(value_type = Option<OrderStatus>, required)]
    pub previous_status: Option<String>,
    /// After.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// The order's version after it.
    #[schema(value_type = OrderVersion)]
    pub version: u32,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
    /// On whose behalf.
    pub by: String,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// `ORDER_CANCELLED` and `ORDER_DELIVERED`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrderEnded)]
pub struct OrderEndedV1 {
    /// Which order.
    pub order_id: uuid::Uuid,
    /// The order's version.
    #[schema(value_type = OrderVersion)]
    pub version: u32,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
    /// Why, for a cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// `INVENTORY_RESERVED`, `INVENTORY_RESERVATION_FAILED` and `INVENTORY_RELEASED`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InventoryReply)]
pub struct InventoryReplyV1 {
    /// Which order.
    pub order_id: uuid::Uuid,
    /// When it was decided.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
    /// Why, for a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The SKUs that were short or unknown, for a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<SkuName>)]
    pub failed_items: Vec<String>,
}

/// `FULFILLMENT_UPDATES`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FulfillmentUpdate)]
pub struct FulfillmentUpdateV1 {
    /// Which order.
    pub order_id: uuid::Uuid,
    /// The step that was taken.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// When, by the sender's clock.
    #[serde(default)]
    #[schema(value_type = Option<Time>)]
    pub at: Option<String>,
    /// Who says so.
    #[serde(default)]
    pub by: Option<String>,
}

/// The outbox rows for `intents` of the current version of `order`. A repeated call gives the same ids.
pub fn outbox_rows(
    order: &Order,
    all: &'static [Intent],
    wanted: &[Intent],
    traceparent: Option<&Arc<str>>,
) -> SmallVec<[OutboxRow; 2]> {
    let version = order.version();
    all.iter()
        .zip(0_u16..)
        .filter(|(intent, _)| wanted.contains(intent))
        .map(|(intent, ordinal)| OutboxRow {
            id: message_id(
                Publisher::Order,
                order.id,
                version.0,
                ordinal,
                order.updated_at(),
            ),
            topic: topic(*intent),
            version: version.0,
            ordinal,
            at: order.updated_at(),
            payload: payload(order, *intent),
            traceparent: traceparent.cloned(),
        })
        .collect()
}

/// The outbox row of a new order; its body is the order's view.
pub fn created_row(order: &Order, view: &Bytes, traceparent: Option<&Arc<str>>) -> OutboxRow {
    let (version, at) = (order.version().0, order.updated_at());
    OutboxRow {
        id: message_id(Publisher::Order, order.id, version, 0, at),
        topic: Topic::OrderCreated,
        version,
        ordinal: 0,
        at,
        payload: view.clone(),
        traceparent: traceparent.cloned(),
    }
}

fn topic(intent: Intent) -> Topic {
    match intent {
        Intent::AnnounceCreated => Topic::OrderCreated,
        Intent::AnnounceStatus => Topic::OrderStatusUpdated,
        Intent::AnnounceCancelled => Topic::OrderCancelled,
        Intent::AnnounceDelivered => Topic::OrderDelivered,
    }
}

fn payload(order: &Order, intent: Intent) -> Bytes {
    let version = order.version();
    let json = match intent {
        Intent::AnnounceCreated => {
            serde_json::to_vec(&OrderView::of(&order.as_of(Version::FIRST), None))
        }
        Intent::AnnounceStatus => {
            let previous = order.entry(Version(version.0.saturating_sub(1)));
            serde_json::to_vec(&StatusUpdatedV1 {
                order_id: order.id.0,
                previous_status: previous.map(|entry| entry.status.as_str().into()),
                status: order.status().as_str().into(),
                version: version.0,
                at: order.updated_at(),
                by: order
                    .entry(version)
                    .map(|entry| (&*entry.by).into())
                    .unwrap_or_default(),
                reason: order.reason().map(Into::into),
            })
        }
        Intent::AnnounceCancelled | Intent::AnnounceDelivered => {
            serde_json::to_vec(&OrderEndedV1 {
                order_id: order.id.0,
                version: version.0,
                at: order.updated_at(),
                reason: order.reason().map(Into::into),
            })
        }
    };
    // Writing plain structs to memory has no way to fail.
    json.unwrap_or_default().into()
}

/// The headers of a published message, in their order; the last may be missing.
pub const HEADERS: [&str; 10] = [
    "ce_id",
    "ce_source",
    "ce_specversion",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_dataschema",
    "ce_orderversion",
    "content-type",
    "traceparent",
];

/// The attribute `source` of what the role `publisher` publishes.
pub fn source(publisher: &str) -> String {
    format!("/trackops/{publisher}")
}

/// The attribute `dataschema` of a message of `topic`.
pub fn data_schema(topic: Topic) -> String {
    format!("/schemas/{topic}/v1")
}

/// The `CloudEvents` headers (binary mode) of an outbox entry published by `source`.
pub fn headers(entry: &OutboxEntry, source: &str) -> Vec<(&'static str, String)> {
    let row = &entry.row;
    let mut headers = vec![
        ("ce_id", row.id.to_string()),
        ("ce_source", self::source(source)),
        ("ce_specversion", "1.0".into()),
        ("ce_type", row.topic.as_str().into()),
        ("ce_subject", entry.order.to_string()),
        ("ce_time", rfc3339::format(row.at)),
        ("ce_dataschema", data_schema(row.topic)),
        ("ce_orderversion", row.version.to_string()),
        ("content-type", "application/json".into()),
    ];
    if let Some(traceparent) = &row.traceparent {
        headers.push(("traceparent", (&**traceparent).into()));
    }
    headers
}

/// The command id under which a message is remembered, so that a repeat changes nothing.
pub fn known_id(order: OrderId, id: MessageId) -> trackops_domain::ids::CommandId {
    trackops_domain::ids::CommandId(uuid::Uuid::new_v5(&order.0, id.0.as_bytes()))
}

#[cfg(test)]
mod tests {
    use trackops_domain::event::Change;
    use trackops_domain::saga::intents;

    use super::*;
    use crate::codec::samples;
    use crate::model::outbox_row::RowId;

    /// Every message that the last of `changes` publishes, as it is on the bus.
    fn published(changes: &[Change]) -> String {
        let (order, event) = samples::order(changes);
        let (all, trace) = (intents(&event), samples::TRACEPARENT.into());
        let rows = outbox_rows(&order, all, all, Some(&trace));
        rows.into_iter()
            .map(|row| shown(order.id, row, "order"))
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    fn shown(order: OrderId, row: OutboxRow, source: &str) -> String {
        let row_id = RowId { lane: 0, seq: 0 };
        let entry = OutboxEntry { row_id, order, row };
        let mut lines: Vec<String> = headers(&entry, source)
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.push(String::new());
        lines.push(String::from_utf8(entry.row.payload.to_vec()).expect("UTF-8"));
        lines.join("\n")
    }

    #[test]
    fn what_an_order_publishes_keeps_its_form() {
        let reason: Box<str> = "the oven is cold".into();
        let to_transit = [
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier: None },
        ];
        let delivered = [&to_transit[..], &[Change::Delivered]].concat();
        insta::assert_snapshot!("placed", published(&[]));
        insta::assert_snapshot!("confirmed", published(&[Change::Confirmed]));
        insta::assert_snapshot!("delivered", published(&delivered));
        let rejected = Change::Rejected {
            reason: reason.clone(),
        };
        insta::assert_snapshot!("rejected", published(&[rejected]));
        let cancelled = [Change::Confirmed, Change::Cancelled { reason }];
        insta::assert_snapshot!("cancelled", published(&cancelled));
    }

    #[test]
    fn a_new_order_is_published_as_it_is_shown() {
        let (order, event) = samples::order(&[]);
        let trace = samples::TRACEPARENT.into();
        let all = intents(&event);
        let rows = outbox_rows(&order, all, all, Some(&trace));
        let view = super::super::view::render(&order);
        let row = created_row(&order, &view, Some(&trace));
        assert_eq!(format!("{rows:?}"), format!("{:?}", [row]));
    }

    #[test]
    fn what_kitchens_report_keeps_its_form() {
        let update = FulfillmentUpdateV1 {
            order_id: samples::id().0,
            status: "PREPARING".into(),
            at: Some(rfc3339::format(samples::minutes(2))),
            by: Some("kitchen-1".into()),
        };
        let json = serde_json::to_string(&update).expect("JSON");
        insta::assert_snapshot!("fulfillment_update", json);
    }
}
