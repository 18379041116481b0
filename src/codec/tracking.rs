//! What a tracking link shows of an order: enough to follow it, and nothing of who ordered, who acted and where
//! exactly it goes. Each field is named here, so what an order gains later isn't shown by itself.

use crate::codec::schema::{
    Latitude, Longitude, OrderStatus, OrderVersion, Quantity, ReasonText, SkuName, Time,
};
use bytes::Bytes;
use serde::Serialize;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::rfc3339;
use super::view::CourierView;
use crate::model::position::Position;

/// An order as whoever has its tracking link sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TrackedOrder)]
pub struct TrackingView {
    /// Where it stands.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// Number of committed changes; 1 as placed.
    #[schema(value_type = OrderVersion)]
    pub version: u32,
    /// The statuses that it has had, oldest first.
    pub stages: Vec<StageView>,
    /// What was ordered.
    pub items: Vec<TrackedItemView>,
    /// The city that it goes to.
    pub city: String,
    /// Why, once REJECTED or CANCELLED.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonText>, nullable = false)]
    pub reason: Option<String>,
    /// Where the courier is, while IN_TRANSIT and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub courier: Option<CourierView>,
}

/// A status that an order has had.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderStage)]
pub struct StageView {
    /// The status.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// Since when.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
}

/// A line of an order, without its price.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TrackedLine)]
pub struct TrackedItemView {
    /// What.
    #[schema(value_type = SkuName)]
    pub sku: String,
    /// How many.
    #[schema(value_type = Quantity)]
    pub quantity: i64,
}

impl TrackingView {
    /// What is shown of `order`, with its courier if there is one.
    pub fn of(order: &Order, position: Option<Position>) -> Self {
        let is_under_way = order.status() == Status::InTransit;
        let stage = |entry: &trackops_domain::order::LogEntry| StageView {
            status: entry.status.as_str().into(),
            at: entry.at,
        };
        let item = |item: &trackops_domain::placed::Item| TrackedItemView {
            sku: item.sku.as_str().into(),
            quantity: item.quantity.into(),
        };
        Self {
            status: order.status().as_str().into(),
            version: order.version().0,
            stages: order.log.iter().map(stage).collect(),
            items: order.placed.items.iter().map(item).collect(),
            city: order.placed.address.city.as_ref().into(),
            reason: order.reason().map(Into::into),
            courier: position.filter(|_| is_under_way).map(|p| CourierView {
                lat: p.lat,
                lon: p.lon,
                at: p.at,
            }),
        }
    }
}

/// A message about the order of a tracking link.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum TrackingMessage<'a> {
    /// The whole order, as the link shows it. Only a snapshot may skip versions.
    Snapshot {
        /// Its version.
        #[schema(value_type = OrderVersion)]
        version: u32,
        /// The order.
        order: TrackingView,
    },
    /// The next version of the order.
    Update {
        /// The version that the change led to.
        #[schema(value_type = OrderVersion)]
        version: u32,
        /// The status after.
        #[schema(value_type = OrderStatus)]
        status: &'static str,
        /// When.
        #[serde(with = "rfc3339")]
        #[schema(value_type = Time)]
        at: Timestamp,
        /// Why, for REJECTED and CANCELLED.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<ReasonText>, nullable = false)]
        reason: Option<&'a str>,
    },
    /// Where the courier is. A position has no version.
    Location {
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

/// The `snapshot` frame of `order`.
pub fn snapshot(order: &Order, position: Option<Position>) -> Bytes {
    encode(&TrackingMessage::Snapshot {
        version: order.version().0,
        order: TrackingView::of(order, position),
    })
}

/// The `update` frame for `version` of `order`; `None` if the order has no such version.
pub fn update(order: &Order, version: Version) -> Option<Bytes> {
    let entry = order.entry(version)?;
    Some(encode(&TrackingMessage::Update {
        version: version.0,
        status: entry.status.as_str(),
        at: entry.at,
        reason: entry.reason.as_deref(),
    }))
}

/// The `location` frame.
pub fn location(position: Position) -> Bytes {
    encode(&TrackingMessage::Location {
        lat: position.lat,
        lon: position.lon,
        at: position.at,
    })
}

fn encode(message: &TrackingMessage<'_>) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use trackops_domain::event::Change;
    use trackops_domain::ids::CourierId;

    use super::*;
    use crate::codec::samples;

    #[test]
    fn what_a_link_shows_keeps_its_form() {
        let courier = CourierId::parse("anna/7");
        let to_transit = [
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier },
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
        insta::assert_snapshot!("location", text(location(position)));
        assert_eq!(update(&order, Version(5)), None);
        let reason = "hail".into();
        let (cancelled, _) = samples::order(&[Change::Cancelled { reason }]);
        insta::assert_snapshot!("snapshot_with_a_reason", text(snapshot(&cancelled, None)));
        insta::assert_snapshot!("update_with_a_reason", of_version(&cancelled, 2));
    }

    #[test]
    fn a_courier_is_shown_only_on_the_way() {
        let position = Position {
            lat: 52.51,
            lon: 13.39,
            at: samples::minutes(4),
        };
        let to_the_end = [
            Change::Confirmed,
            Change::Preparing { courier: None },
            Change::InTransit { courier: None },
            Change::Delivered,
        ];
        for (steps, is_shown) in [(2, false), (3, true), (4, false)] {
            let (order, _) = samples::order(&to_the_end[..steps]);
            let view = TrackingView::of(&order, Some(position));
            assert_eq!(view.courier.is_some(), is_shown, "{steps} steps");
        }
    }
}
