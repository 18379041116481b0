//! The inventory endpoints.

use serde_json::json;
use trackops::ports::stock::ReservationView;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Reservation;
use trackops_domain::time::Timestamp;

use super::support::Api;

#[tokio::test]
async fn stock_is_set_shown_and_listed() {
    let api = Api::new();
    let path = "/api/v1/inventory/items/PIZZA-MARGHERITA";
    let answer = api.json("PUT", path, &json!({ "onHand": 100 })).await;
    let item = json!({ "sku": "PIZZA-MARGHERITA", "onHand": 100, "reserved": 2, "available": 98 });
    assert_eq!((answer.status.as_u16(), answer.json()), (200, item.clone()));
    assert_eq!(api.get(path).await.json(), item);

    let key = [("idempotency-key", "k")];
    for replayed in [None, Some("true")] {
        let answer = api
            .json_with("PUT", path, &key, &json!({ "onHand": 50 }))
            .await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("idempotency-replayed")
            ),
            (200, replayed)
        );
    }
    let other = json!({ "onHand": 51 });
    let answer = api.json_with("PUT", path, &key, &other).await;
    answer.problem(422, "idempotency-key-reused", path);
    let answer = api.json("PUT", path, &json!({ "onHand": 1 })).await;
    let problem = answer.problem(409, "below-reserved", path);
    assert_eq!(problem["reserved"], 2);

    for sku in ["A", "B%2FC", "Z"] {
        let path = format!("/api/v1/inventory/items/{sku}");
        assert_eq!(
            api.json("PUT", &path, &json!({ "onHand": 3 })).await.status,
            200
        );
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/inventory/items?limit=2".to_owned();
    for last in [false, true] {
        let page = api.get(&path).await.json();
        for item in page["items"].as_array().expect("items") {
            seen.push(item["sku"].as_str().expect("a SKU").to_owned());
        }
        assert_eq!(page["nextCursor"].is_null(), last);
        let cursor = page["nextCursor"].as_str().unwrap_or_default();
        path = format!("/api/v1/inventory/items?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["A", "B/C", "PIZZA-MARGHERITA", "Z"]);
}

#[tokio::test]
async fn a_reservation_is_shown() {
    let api = Api::new();
    let order = OrderId(uuid::Uuid::from_u128(
        0x0190_a5c2_7b1e_7cc3_98c4_dc0c_0c07_398f,
    ));
    let view = ReservationView {
        order,
        state: Reservation::Held,
        items: vec![(Sku::parse("PIZZA").expect("a SKU"), 2)],
        updated_at: Timestamp(1_767_225_600_000),
    };
    api.stock.reservations.lock().insert(order, view);
    let answer = api
        .get(&format!("/api/v1/inventory/reservations/{order}"))
        .await;
    insta::assert_json_snapshot!("reservation", answer.json());
}
