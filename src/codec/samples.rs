//! The order in the snapshots of published forms. Its ids and times are fixed, so that the snapshots stay the
//! same.

use std::sync::Arc;

use trackops_domain::command::Origin;
use trackops_domain::decide;
use trackops_domain::event::{Change, OrderEvent};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, OrderId};
use trackops_domain::order::Order;
use trackops_domain::saga::{Policy, Saga};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::content::ContentV1;

/// When it was placed: 2026-01-31T12:00:00.250Z.
const PLACED_AT: i64 = 1_769_860_800_250;

/// The trace context of its messages.
pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The order's id.
pub fn id() -> OrderId {
    OrderId(Uuid::from_u128(0x0199_c3e8_f1a0_7000_8000_0123_4567_89ab))
}

/// The time, so many minutes after it was placed.
pub fn minutes(count: i64) -> Timestamp {
    Timestamp(PLACED_AT + count * 60_000)
}

/// The order after `changes`, a minute each, and its last event.
pub fn order(changes: &[Change]) -> (Order, OrderEvent) {
    let content = r#"{
        "customerId": "7f6c1b52-41f7-4c57-9a0e-2f0d6c1f5a11", "currency": "EUR",
        "items": [
            {"sku": "PIZZA-MARGHERITA", "quantity": 2, "unitPrice": 950},
            {"sku": "COLA-330", "quantity": 1, "unitPrice": 290}
        ],
        "address": {"street": "Unter den Linden 1", "city": "Berlin", "postalCode": "10117",
            "country": "DE", "lat": 52.5, "lon": 13.4, "phone": "+49 30 1234"},
        "deliveryInstructions": "ring \"twice\"", "shopId": "mitte"
    }"#;
    let content: ContentV1 = serde_json::from_str(content).expect("content");
    let placed = Arc::new(content.check().expect("sound content"));
    let origin = Origin {
        command: CommandId(Uuid::from_u128(1)),
        by: "client".into(),
        now: minutes(0),
    };
    let mut event = decide::place(id(), placed, None, origin);
    let saga = Saga::started(minutes(0), &Policy::default());
    let mut order = Order::from_placed(&event, saga).expect("a first event");
    for (change, minute) in changes.iter().zip(1_u8..) {
        event = OrderEvent {
            order: order.id,
            version: order.version().next(),
            at: minutes(minute.into()),
            by: "kitchen-1".into(),
            command: CommandId(Uuid::from_u128(u128::from(minute) + 1)),
            change: change.clone(),
        };
        order = evolve(order, &event);
    }
    (order, event)
}
