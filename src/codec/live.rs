//! Live messages: what goes over WebSocket and SSE.

use bytes::Bytes;
use serde::Serialize;
use trackops_domain::ids::{CourierId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::rfc3339;
use super::schema::{
    CourierName, Latitude, Longitude, OrderStatus, OrderVersion, ReasonText, Time,
};
use super::view::OrderView;
use crate::model::position::Position;

/// A message about an order that is followed.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for one encoding"
)]
pub enum ServerMessage<'a> {
    /// The whole order. Only a snapshot may skip versions.
    Snapshot {
        /// The order.
        #[serde(rename = "orderId")]
        #[schema(value_type = uuid::Uuid)]
        order_id: OrderUuid,
        /// Its version.
        #[schema(value_type = OrderVersion)]
        version: u32,
        /// The order as it is shown.
        order: OrderView,
    },
    /// The next version of an order.
    Update {
        /// The order.
        #[serde(rename = "orderId")]
        #[schema(value_type = uuid::Uuid)]
        order_id: OrderUuid,
        /// The version that the change led to.
        #[schema(value_type = OrderVersion)]
        version: u32,
        /// The status before; null for the first version.
        #[serde(rename = "previousStatus")]
        #[schema(value_type = Option<OrderStatus>, required)]
        previous_status: Option<&'static str>,
        /// The status after.
        #[schema(value_type = OrderStatus)]
        status: &'static str,
        /// When.
        #[serde(with = "rfc3339")]
        #[schema(value_type = Time)]
        at: Timestamp,
        /// On whose behalf.
        by: &'a str,
        /// Why, for REJECTED and CANCELLED.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<ReasonText>, nullable = false)]
        reason: Option<&'a str>,
        /// The courier that was named with it.
        #[serde(rename = "courierId")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<CourierName>, nullable = false)]
        courier_id: Option<&'a str>,
    },
    /// Where the courier is. A position has no version.
    Location {
        /// The order.
        #[serde(rename = "orderId")]
        #[schema(value_type = uuid::Uuid)]
        order_id: OrderUuid,
        /// Degrees, WGS 84.
        #[schema(value_type = Latitude)]
        lat: f64,
        /// Degrees, WGS 84.
        #[schema(value_type = Longitude)]
        lon: f64,
        /// When it was measured.
        #[serde(with = "rfc3339")]
        #[schema(value_type = Time)]
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
