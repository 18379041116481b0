//! Live messages: what goes over WebSocket and SSE.

use bytes::Bytes;
use serde::Serialize;
use trackops_domain::ids::{CourierId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;

use super::rfc3339;
use super::view::OrderView;
use crate::model::position::Position;

#[derive(Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for one encoding"
)]
enum ServerMessage<'a> {
    Snapshot {
        order_id: OrderUuid,
        version: u32,
        order: OrderView,
    },
    Update {
        order_id: OrderUuid,
        version: u32,
        previous_status: Option<&'static str>,
        status: &'static str,
        #[serde(with = "rfc3339")]
        at: Timestamp,
        by: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        courier_id: Option<&'a str>,
    },
    Location {
        order_id: OrderUuid,
        lat: f64,
        lon: f64,
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
}

type OrderUuid = uuid::Uuid;

/// The `snapshot` frame of `order`.
pub fn snapshot(order: &Order, position: Option<Position>) -> Bytes {
    encode(&ServerMessage::Snapshot {
        order_id: order.id.0,
        version: order.version().0,
        order: OrderView::of(order, position),
    })
}

/// The `update` frame for `version` of `order`; `None` if the order has no such version.
pub fn update(order: &Order, version: Version) -> Option<Bytes> {
    let entry = order.entry(version)?;
    let previous = Version(version.0 - 1);
    Some(encode(&ServerMessage::Update {
        order_id: order.id.0,
        version: version.0,
        previous_status: order.entry(previous).map(|before| before.status.as_str()),
        status: entry.status.as_str(),
        at: entry.at,
        by: &entry.by,
        reason: entry.reason.as_deref(),
        courier_id: entry.courier.as_ref().map(CourierId::as_str),
    }))
}

/// The `location` frame.
pub fn location(order: OrderId, position: Position) -> Bytes {
    encode(&ServerMessage::Location {
        order_id: order.0,
        lat: position.lat,
        lon: position.lon,
        at: position.at,
    })
}

fn encode(message: &ServerMessage<'_>) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use trackops_domain::event::Change;

    use super::*;
    use crate::codec::samples;

    #[test]
    fn what_a_listener_hears_keeps_its_form() {
        let to_transit = [
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier: None },
        ];
        let (order, _) = samples::order(&to_transit);
        let position = Position {
            lat: 52.51,
            lon: 13.39,
            at: samples::minutes(4),
        };
        let text = |json: Bytes| String::from_utf8(json.to_vec()).expect("UTF-8");
        let of_version = |order, version| text(update(order, Version(version)).expect("is there"));
        insta::assert_snapshot!("snapshot", text(snapshot(&order, Some(position))));
        insta::assert_snapshot!("update_of_the_first_version", of_version(&order, 1));
        insta::assert_snapshot!("update", of_version(&order, 4));
        let courier = CourierId::parse("anna/7");
        let (given, _) = samples::order(&[Change::Confirmed, Change::Preparing { courier }]);
        insta::assert_snapshot!("update_with_a_courier", of_version(&given, 3));
        insta::assert_snapshot!("snapshot_with_a_courier", text(snapshot(&given, None)));
        let reason = "hail".into();
        let (cancelled, _) = samples::order(&[Change::Cancelled { reason }]);
        insta::assert_snapshot!("update_with_a_reason", of_version(&cancelled, 2));
        insta::assert_snapshot!("location", text(location(order.id, position)));
        assert_eq!(update(&order, Version(5)), None);
    }
}
