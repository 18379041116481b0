//! The view of an order as REST, sockets and the cache show it, and its history.

use crate::codec::schema::{
    CourierName, Latitude, Longitude, OrderStatus, OrderVersion, ReasonText, Sum, Time,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trackops_domain::access::{Caller, Facts};
use trackops_domain::ids::{CourierId, CustomerId, ShopId};
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;
use utoipa::ToSchema;

use super::content::ContentV1;
use super::rfc3339;
use crate::model::order_answer::Done;
use crate::model::position::Position;

/// An order as shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Order)]
pub struct OrderView {
    /// The order's id.
    pub id: uuid::Uuid,
    /// Where it stands.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// Number of committed changes; 1 as placed.
    #[schema(value_type = OrderVersion)]
    pub version: u32,
    /// What was ordered.
    #[serde(flatten)]
    pub content: ContentV1,
    /// Sum of the items in minor units.
    #[schema(value_type = Sum)]
    pub total_amount: i64,
    /// When it was placed.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub updated_at: Timestamp,
    /// Why, once REJECTED or CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonText>, nullable = false)]
    pub reason: Option<String>,
    /// Who takes it to the customer: the courier that was named last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CourierName>, nullable = false)]
    pub courier_id: Option<String>,
    /// Where the courier is, while IN_TRANSIT and known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub courier: Option<CourierView>,
}

/// A courier's position as shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CourierPosition)]
pub struct CourierView {
    /// Degrees, WGS 84.
    #[schema(value_type = Latitude)]
    pub lat: f64,
    /// Degrees, WGS 84.
    #[schema(value_type = Longitude)]
    pub lon: f64,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
}

/// One line of an order's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The version that the change led to.
    #[schema(value_type = OrderVersion)]
    pub version: u32,
    /// The status before; null for the first.
    #[schema(value_type = Option<OrderStatus>, required)]
    pub previous_status: Option<String>,
    /// The status after.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// When.
    #[serde(with = "rfc3339")]
    #[schema(value_type = Time)]
    pub at: Timestamp,
    /// On whose behalf.
    pub by: String,
    /// The command that caused it.
    pub command_id: uuid::Uuid,
    /// Why, for REJECTED and CANCELLED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonText>, nullable = false)]
    pub reason: Option<String>,
    /// The courier that was named with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CourierName>, nullable = false)]
    pub courier_id: Option<String>,
}

impl OrderView {
    /// The view of `order`, with its courier if there is one.
    pub fn of(order: &Order, position: Option<Position>) -> Self {
        Self {
            id: order.id.0,
            status: order.status().as_str().into(),
            version: order.version().0,
            content: ContentV1::of(&order.placed),
            total_amount: order.placed.total.0,
            created_at: order.created_at(),
            updated_at: order.updated_at(),
            reason: order.reason().map(Into::into),
            courier_id: order.courier().map(|courier| courier.as_str().into()),
            courier: position.map(|p| CourierView {
                lat: p.lat,
                lon: p.lon,
                at: p.at,
            }),
        }
    }
}

/// The view's JSON without a courier: what is cached.
pub fn render(order: &Order) -> Bytes {
    serde_json::to_vec(&OrderView::of(order, None))
        .unwrap_or_default()
        .into()
}

/// Whose order a rendered view shows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names in the view")]
pub struct Whose {
    customer_id: uuid::Uuid,
    #[serde(default)]
    shop_id: Option<String>,
    #[serde(default)]
    courier_id: Option<String>,
}

impl Whose {
    /// Whether the order is there for `caller`.
    pub fn is_seen_by(&self, caller: &Caller) -> bool {
        let shop = self.shop_id.as_deref().and_then(ShopId::parse);
        let courier = self.courier_id.as_deref().and_then(CourierId::parse);
        caller.sees(Facts {
            customer: CustomerId(self.customer_id),
            shop: shop.as_ref(),
            courier: courier.as_ref(),
        })
    }
}

/// Whose order `view` shows; `None` for what is no view.
pub fn whose(view: &[u8]) -> Option<Whose> {
    serde_json::from_slice(view).ok()
}

/// The view's JSON of an order after a command; rendered only if it wasn't already.
pub fn of_done(done: &Done) -> Bytes {
    let render = || render(&done.order);
    done.view.clone().unwrap_or_else(render)
}

/// Adds the courier to a rendered view.
pub fn with_position(view: &Bytes, position: Option<Position>) -> Bytes {
    let Some(position) = position else {
        return view.clone();
    };
    let courier = CourierView {
        lat: position.lat,
        lon: position.lon,
        at: position.at,
    };
    with_field(view, "courier", &courier)
}

/// Adds the tracking link to a rendered view.
pub fn with_tracking_url(view: &Bytes, url: &str) -> Bytes {
    with_field(view, "trackingUrl", &url)
}

/// Adds a field to an object that has others.
fn with_field(object: &Bytes, name: &str, value: &impl Serialize) -> Bytes {
    let Some(open) = object.strip_suffix(b"}") else {
        return object.clone();
    };
    let mut json = open.to_vec();
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    // Plain strings and numbers: writing them to memory has no way to fail.
    json.extend_from_slice(&serde_json::to_vec(value).unwrap_or_default());
    json.push(b'}');
    json.into()
}

/// Every version of `order`, oldest first.
pub fn history(order: &Order) -> Vec<HistoryEntry> {
    let before = std::iter::once(None).chain(order.log.iter().map(|entry| Some(entry.status)));
    order
        .log
        .iter()
        .zip(before)
        .zip(1..)
        .map(|((entry, previous), version)| HistoryEntry {
            version,
            previous_status: previous.map(|status| status.as_str().into()),
            status: entry.status.as_str().into(),
            at: entry.at,
            by: (&*entry.by).into(),
            command_id: entry.command.0,
            reason: entry.reason.as_deref().map(Into::into),
            courier_id: entry
                .courier
                .as_ref()
                .map(|courier| courier.as_str().into()),
        })
        .collect()
}
