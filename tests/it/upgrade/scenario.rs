//! What happens before a dump is written: orders come to every status, and some wait for inventory. It uses
//! only what every version of the program has.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bodies::{order, order_of};
use crate::support::client::Client;
use crate::support::wait::until;

/// The shop of some orders.
pub const SHOP: &str = "mitte";

/// With everything at work: an order at rest in each status, and stock that was set and adjusted.
pub async fn settled(client: &Client) -> Vec<Uuid> {
    let item = format!("{}/api/v1/inventory/items/COLA", client.to.inventory);
    let key = [("idempotency-key", "first-delivery")];
    let quantity = json!({"onHand": 40});
    let stocked = client.send(Method::PUT, &item, &key, Some(&quantity));
    stocked.await.expect("an answer").expect(200);
    let adjustment = json!({"delta": -3, "reason": "broken"});
    let adjusted = format!("{item}/adjustments");
    // Versions before the adjustments have no such path.
    let adjusted = client.send(
        Method::POST,
        &adjusted,
        &[("idempotency-key", "fall")],
        Some(&adjustment),
    );
    assert!(matches!(
        adjusted.await.expect("an answer").status,
        201 | 404 | 405
    ));

    let mut orders = Vec::new();
    let steps = ["PREPARING", "IN_TRANSIT", "DELIVERED"];
    for count in 0..=steps.len() {
        let key = (count == steps.len()).then_some("first-order");
        let id = client.place(&order(), key).await.expect(201).id();
        client.reaches(id, "CONFIRMED").await;
        for step in &steps[..count] {
            client.advance(id, step, &[]).await.expect(200);
        }
        if count == 1 {
            // It changes nothing, and is remembered under its key.
            let key = [("idempotency-key", "again")];
            client.advance(id, "PREPARING", &key).await.expect(200);
        }
        if count == 2 {
            client.locate(id, 52.52, 13.41).await.expect(204);
        }
        orders.push(id);
    }
    let cancelled = client.place(&of_shop(order()), None).await.expect(201).id();
    client.reaches(cancelled, "CONFIRMED").await;
    client
        .cancel(cancelled, "changed my mind: \"too late\"")
        .await
        .expect(200);
    let reservation = reservation(client, cancelled);
    until("the stock is released", || async {
        let answer = client.fetch(&reservation).await;
        (answer.text("state") == "RELEASED").then_some(())
    })
    .await;
    let rejected = client
        .place(&order_of("UNKNOWN", 1), None)
        .await
        .expect(201)
        .id();
    client.reaches(rejected, "REJECTED").await;
    orders.extend([cancelled, rejected]);
    orders
}

/// `order` with a shop. Versions before the shops ignore it.
fn of_shop(mut order: Value) -> Value {
    order["shopId"] = json!(SHOP);
    order
}

/// A confirmed order that [`open`] cancels.
pub async fn confirmed(client: &Client) -> Uuid {
    let id = client
        .place(&order_of("PASTA", 3), None)
        .await
        .expect(201)
        .id();
    client.reaches(id, "CONFIRMED").await;
    id
}

/// While nothing is relayed: an order that waits for stock, one that was cancelled meanwhile, and `confirmed`
/// cancelled, whose stock nobody has released.
pub async fn open(client: &Client, confirmed: Uuid) -> Vec<Uuid> {
    let pending = client
        .place(&of_shop(order_of("SALAD", 1)), None)
        .await
        .expect(201)
        .id();
    let cancelled = client
        .place(&order_of("SALAD", 2), Some("second-order"))
        .await
        .expect(201)
        .id();
    for id in [cancelled, confirmed] {
        client.cancel(id, "hail").await.expect(200);
    }
    vec![pending, cancelled, confirmed]
}

/// The URL of an order's reservation.
pub fn reservation(client: &Client, order: Uuid) -> String {
    format!(
        "{}/api/v1/inventory/reservations/{order}",
        client.to.inventory
    )
}
