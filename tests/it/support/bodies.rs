//! Bodies of requests, and the catalogue that the tests sell from.

use serde_json::{Value, json};

/// Items that a deployment stocks.
pub const SKUS: [&str; 3] = ["PIZZA", "PASTA", "SALAD"];

/// How many of each: more than any test takes.
pub const ON_HAND: u64 = 1_000_000;

/// The status that a client moves an order to next; `None` where it has no next.
pub fn next_step(status: &str) -> Option<&'static str> {
    match status {
        "CONFIRMED" => Some("PREPARING"),
        "PREPARING" => Some("IN_TRANSIT"),
        "IN_TRANSIT" => Some("DELIVERED"),
        _ => None,
    }
}

/// An order of `quantity` of `sku`.
pub fn order_of(sku: &str, quantity: u32) -> Value {
    json!({
        "customerId": "7f6c1f8e-0000-4000-8000-000000000001",
        "currency": "EUR",
        "items": [{"sku": sku, "quantity": quantity, "unitPrice": 950}],
        "address": {
            "street": "Unter den Linden 1", "city": "Berlin", "postalCode": "10117",
            "country": "DE", "lat": 52.5, "lon": 13.4
        },
        "deliveryInstructions": "ring twice"
    })
}

/// Any order that will be confirmed.
pub fn order() -> Value {
    order_of(SKUS[0], 2)
}
