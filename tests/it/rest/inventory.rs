//! The inventory endpoints.

use axum::body::Body;
use serde_json::json;
use trackops_domain::ids::OrderId;
use uuid::Uuid;

use super::support::{Api, still};

/// Whose stock is reserved.
const ORDER: OrderId = OrderId(Uuid::from_u128(0x0190_a5c2_7b1e_7cc3_98c4_dc0c_0c07_398f));

#[tokio::test]
async fn stock_is_set_shown_and_listed() {
    let api = Api::new().await;
    let path = "/api/v1/inventory/items/PIZZA-MARGHERITA";
    let answer = api.json("PUT", path, &json!({ "onHand": 100 })).await;
    let item = json!({
        "sku": "PIZZA-MARGHERITA", "onHand": 100, "reserved": 0, "available": 100, "version": 1
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (200, item.clone()));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(api.get(path).await.json(), item);
    api.reserve(ORDER, "PIZZA-MARGHERITA", 2).await;
    let item = json!({
        "sku": "PIZZA-MARGHERITA", "onHand": 100, "reserved": 2, "available": 98, "version": 2
    });
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
async fn an_item_is_written_and_read_under_conditions() {
    let api = Api::new().await;
    let path = "/api/v1/inventory/items/PIZZA";
    let put = async |on_hand: u64, headers: &[(&str, &str)]| {
        let body = json!({ "onHand": on_hand });
        api.json_with("PUT", path, headers, &body).await
    };
    let absent = put(5, &[("if-match", "*")]).await;
    absent.problem(412, "precondition-failed", path);
    assert_eq!(absent.header("etag"), None);
    let only_new = [("if-none-match", "*")];
    assert_eq!(put(5, &only_new).await.status, 200);
    let refused = put(6, &only_new).await;
    refused.problem(412, "precondition-failed", path);
    assert_eq!(refused.header("etag"), Some("\"1\""));
    for stale in ["\"2\"", "W/\"1\"", "\"01\""] {
        let answer = put(6, &[("if-match", stale)]).await;
        answer.problem(412, "precondition-failed", path);
    }
    // Headers are read first.
    for on_hand in [6, u64::MAX] {
        put(on_hand, &[("if-match", "1")])
            .await
            .problem(400, "invalid-header", path);
        put(on_hand, &[("idempotency-key", "a b")]).await.problem(
            400,
            "invalid-idempotency-key",
            path,
        );
    }
    let answer = put(6, &[("if-match", "\"9\", \"1\"")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (200, Some("\"2\""))
    );
    // An answer that was lost is given again, whatever the version is by now.
    let once = [("if-match", "\"2\""), ("idempotency-key", "k")];
    for _ in 0..2 {
        assert_eq!(put(7, &once).await.status, 200);
    }
    for known in ["\"3\"", "W/\"3\"", "*", "\"9\", \"3\""] {
        let answer = api
            .send("GET", path, &[("if-none-match", known)], Body::empty())
            .await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (304, ""),
            "{known}"
        );
        assert_eq!(answer.header("etag"), Some("\"3\""));
    }
    let answer = api
        .send("GET", path, &[("if-none-match", "\"2\"")], Body::empty())
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_item_is_adjusted_and_its_adjustments_are_listed() {
    let api = Api::new().await;
    let item = "/api/v1/inventory/items/PIZZA";
    let path = "/api/v1/inventory/items/PIZZA/adjustments";
    let adjust = async |body| api.json("POST", path, &body).await;
    let unknown = adjust(json!({ "delta": 5, "reason": "delivery 4711" })).await;
    unknown.problem(404, "item-not-found", path);
    api.get(path).await.problem(404, "item-not-found", path);
    api.json("PUT", item, &json!({ "onHand": 10 })).await;
    api.reserve(ORDER, "PIZZA", 2).await;
    let answer = adjust(json!({ "delta": 5, "reason": "delivery 4711" })).await;
    assert_eq!(answer.status, 201);
    let first = answer.json();
    insta::assert_json_snapshot!("adjustment", still(first.clone(), &["/at"]));
    let taken = adjust(json!({ "delta": -13, "reason": "hail" }))
        .await
        .json();
    assert_eq!(taken["item"]["onHand"], 2);
    let refused = adjust(json!({ "delta": -1, "reason": "hail" })).await;
    assert_eq!(refused.problem(409, "below-reserved", path)["reserved"], 2);

    let page = api.get(&format!("{path}?limit=1")).await.json();
    assert_eq!(page["items"], json!([taken]));
    let cursor = page["nextCursor"].as_str().expect("one more");
    let page = api
        .get(&format!("{path}?limit=1&cursor={cursor}"))
        .await
        .json();
    assert_eq!(page, json!({ "items": [first], "nextCursor": null }));

    for (bad, pointers) in [
        (json!({ "delta": 0, "reason": "x" }), "/delta"),
        (json!({ "delta": 1_i64 << 53, "reason": "x" }), "/delta"),
        (json!({ "delta": 1, "reason": " " }), "/reason"),
        (json!({ "delta": 1, "reason": "a\nb" }), "/reason"),
        (json!({ "delta": 1, "reason": "x".repeat(201) }), "/reason"),
        // All at once, whatever is wrong with each.
        (json!({ "delta": 0 }), "/delta /reason"),
        (json!({ "delta": "5", "reason": " " }), "/delta /reason"),
    ] {
        let refused = adjust(bad.clone()).await;
        let problem = refused.problem(422, "validation-failed", path);
        let errors = problem["errors"].as_array().expect("errors");
        let named = errors.iter().filter_map(|error| error["pointer"].as_str());
        let mut named: Vec<&str> = named.collect();
        named.sort_unstable();
        assert_eq!(named.join(" "), pointers, "{bad}");
    }
    let body = json!({ "delta": 1, "reason": "x" });
    // Headers are read first.
    for (header, code) in [
        (("if-match", "*"), "condition-not-supported"),
        (("idempotency-key", "a b"), "invalid-idempotency-key"),
    ] {
        for body in [&body, &json!({ "delta": 0 })] {
            let refused = api.json_with("POST", path, &[header], body).await;
            refused.problem(400, code, path);
        }
    }
}

#[tokio::test]
async fn a_reservation_is_shown() {
    let api = Api::new().await;
    let item = "/api/v1/inventory/items/PIZZA";
    api.json("PUT", item, &json!({ "onHand": 10 })).await;
    api.reserve(ORDER, "PIZZA", 2).await;
    let answer = api
        .get(&format!("/api/v1/inventory/reservations/{ORDER}"))
        .await;
    insta::assert_json_snapshot!("reservation", still(answer.json(), &["/updatedAt"]));
}
