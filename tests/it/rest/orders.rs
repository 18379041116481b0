//! The order endpoints when all goes well, and what an order's state forbids.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use trackops::model::orders_error::{Full, OrdersError};
use trackops_domain::command::Command;

use super::doubles::Next;
use super::support::{Api, pizza, still};
use crate::contract::outbox::all_rows;

#[tokio::test]
async fn a_placed_order_is_shown_and_found_again() {
    let api = Api::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", trace)];
    let placed = api
        .json_with("POST", "/api/v1/orders", &headers, &pizza())
        .await;
    assert_eq!(placed.status, 201);
    assert_eq!(placed.header("content-type"), Some("application/json"));
    assert_eq!(placed.header("etag"), Some("\"1\""));
    let view = placed.json();
    let path = format!("/api/v1/orders/{}", view["id"].as_str().expect("an id"));
    assert_eq!(placed.header("location"), Some(&*path));
    let mut whole = view.clone();
    let shown = still(view, &["/id", "/createdAt", "/updatedAt", "/trackingUrl"]);
    insta::assert_json_snapshot!("placed_order", shown);
    let read = api.get(&path).await;
    // The link is for whoever places the order.
    let link = whole.as_object_mut().expect("an object");
    assert!(link.remove("trackingUrl").is_some());
    assert_eq!((read.status.as_u16(), read.json()), (200, whole));
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(read.header("cache-control"), Some("private, no-store"));
    let sent = all_rows(&*api.store.orders_outbox()).await;
    assert_eq!(sent[0].row.traceparent.as_deref(), Some(trace));
}

#[tokio::test]
async fn an_order_goes_its_way_and_keeps_its_history() {
    let api = Api::new().await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}");
    api.saga(&id, Command::StockReserved).await;
    for (status, etag) in [
        ("PREPARING", "\"3\""),
        ("IN_TRANSIT", "\"4\""),
        ("IN_TRANSIT", "\"4\""),
    ] {
        let answer = api
            .json(
                "PUT",
                &format!("{path}/status"),
                &json!({ "status": status }),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("etag")),
            (200, Some(etag))
        );
        assert_eq!(answer.json()["status"], status);
    }
    let history = api.get(&format!("{path}/history")).await;
    let differing = ["/orderId", "/items/*/at", "/items/*/commandId"];
    insta::assert_json_snapshot!("history", still(history.json(), &differing));
}

#[tokio::test]
async fn a_step_may_name_the_courier() {
    let api = Api::new().await;
    let id = api.place().await;
    let (order, path) = (
        format!("/api/v1/orders/{id}"),
        format!("/api/v1/orders/{id}/status"),
    );
    api.saga(&id, Command::StockReserved).await;
    assert!(api.get(&order).await.json().get("courierId").is_none());
    let long = "x".repeat(65);
    for (status, courier) in [
        ("PREPARING", json!("")),
        ("PREPARING", json!("anna b")),
        ("PREPARING", json!(long)),
        ("PREPARING", json!(7)),
        ("DELIVERED", json!("anna")),
        ("CANCELLED", json!("anna")),
        ("CONFIRMED", json!("anna")),
    ] {
        let body = json!({ "status": status, "courierId": courier });
        let answer = api.json("PUT", &path, &body).await;
        let problem = answer.problem(422, "validation-failed", &path);
        assert_eq!(problem["errors"][0]["pointer"], "/courierId", "{problem}");
    }
    let key = [("idempotency-key", "step-1")];
    let step = async |headers: &[(&str, &str)], status: &str, courier: Value| {
        let body = json!({ "status": status, "courierId": courier });
        api.json_with("PUT", &path, headers, &body).await
    };
    // A step, its repeat, and another request under its key.
    for replayed in [None, Some("true")] {
        let answer = step(&key, "PREPARING", json!("anna")).await;
        assert_eq!(answer.header("idempotency-replayed"), replayed);
        assert_eq!(answer.json()["courierId"], "anna");
    }
    for other in [json!("bert"), Value::Null] {
        let answer = step(&key, "PREPARING", other).await;
        answer.problem(422, "idempotency-key-reused", &path);
    }
    // The step to the same status changes nothing, whoever it names; that is remembered, too.
    let key = [("idempotency-key", "step-2")];
    let same = step(&key, "PREPARING", json!("bert")).await;
    assert_eq!(
        (same.status.as_u16(), same.header("etag")),
        (200, Some("\"3\""))
    );
    assert_eq!(same.json()["courierId"], "anna");
    let other = step(&key, "PREPARING", json!("carl")).await;
    other.problem(422, "idempotency-key-reused", &path);
    let way = step(&[], "IN_TRANSIT", json!("bert")).await;
    assert_eq!(way.json()["courierId"], "bert");
    let there = api
        .json("PUT", &path, &json!({ "status": "DELIVERED" }))
        .await;
    assert_eq!(there.json()["courierId"], "bert", "it stays");
    let history = api.get(&format!("{order}/history")).await.json();
    let named = history["items"].as_array().expect("items").iter();
    let named: Vec<Option<&str>> = named
        .map(|entry| entry.get("courierId").and_then(Value::as_str))
        .collect();
    assert_eq!(named, [None, None, Some("anna"), Some("bert"), None]);
}

#[tokio::test]
async fn a_refused_step_says_where_the_order_stands() {
    let api = Api::new().await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}/status");
    let answer = api
        .json("PUT", &path, &json!({ "status": "DELIVERED" }))
        .await;
    let problem = answer.problem(409, "illegal-step", &path);
    insta::assert_json_snapshot!("refused_step", still(problem, &["/instance"]));

    let where_it_is = format!("/api/v1/orders/{id}/location");
    let answer = api
        .json("PUT", &where_it_is, &json!({ "lat": 1, "lon": 1 }))
        .await;
    let problem = answer.problem(409, "not-in-transit", &where_it_is);
    assert_eq!(problem["currentStatus"], "PENDING");

    // Cancelled without a body; then final.
    let cancel = format!("/api/v1/orders/{id}/cancel");
    let json = [("content-type", "application/json")];
    let answer = api.send("POST", &cancel, &json, Body::empty()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["reason"], "cancelled");
    for status in ["PENDING", "PREPARING"] {
        let answer = api.json("PUT", &path, &json!({ "status": status })).await;
        let problem = answer.problem(409, "illegal-step", &path);
        assert_eq!(
            (&problem["currentStatus"], &problem["allowed"]),
            (&json!("CANCELLED"), &json!([]))
        );
    }
    let answer = api
        .json("PUT", &path, &json!({ "status": "CANCELLED" }))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (200, Some("\"2\""))
    );
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let api = Api::new().await;
    let mut placed = Vec::new();
    for _ in 0..7 {
        placed.push(api.place().await);
    }
    api.saga(&placed[3], Command::StockReserved).await;
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| item["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let mut seen = Vec::new();
    let mut path = "/api/v1/orders?limit=3".to_owned();
    for (count, last) in [(3, false), (3, false), (1, true)] {
        let page = api.get(&path).await.json();
        assert_eq!(ids(&page).len(), count);
        assert_eq!(page["nextCursor"].is_null(), last, "{page}");
        seen.extend(ids(&page));
        let cursor = page["nextCursor"].as_str().unwrap_or_default();
        path = format!("/api/v1/orders?limit=3&cursor={cursor}");
    }
    let all = api.get("/api/v1/orders").await.json();
    assert_eq!(seen, ids(&all), "newest first");
    placed.sort();
    seen.sort();
    assert_eq!(seen, placed);
    // A page that is just full is the last one.
    let page = api.get("/api/v1/orders?limit=7").await.json();
    assert!(page["nextCursor"].is_null());

    let confirmed = api.get("/api/v1/orders?status=CONFIRMED").await.json();
    assert_eq!(confirmed["items"][0]["status"], "CONFIRMED");
    assert_eq!(ids(&confirmed).len(), 1);
    // Repeated, it means any of these.
    let several = "/api/v1/orders?status=CONFIRMED&status=PENDING&status=CONFIRMED&limit=7";
    assert_eq!(ids(&api.get(several).await.json()).len(), 7);
    let several = "/api/v1/orders?status=CONFIRMED&status=DELIVERED";
    assert_eq!(ids(&api.get(several).await.json()), ids(&confirmed));
    let nobody = "/api/v1/orders?customerId=00000000-0000-4000-8000-000000000000";
    assert!(ids(&api.get(nobody).await.json()).is_empty());
}

#[tokio::test]
async fn the_orders_of_a_shop_are_listed_by_status_and_customer_too() {
    let api = Api::new().await;
    let mut placed = Vec::new();
    for (n, shop) in ["north", "south/1", "north", "", "north"]
        .into_iter()
        .enumerate()
    {
        let mut order = pizza();
        order["shopId"] = (!shop.is_empty()).then_some(shop).into();
        if n == 4 {
            order["customerId"] = json!(uuid::Uuid::from_u128(4));
        }
        let answer = api.json("POST", "/api/v1/orders", &order).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let view = answer.json();
        assert_eq!(
            view.get("shopId")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            shop
        );
        placed.push(view["id"].as_str().expect("an id").to_owned());
    }
    api.saga(&placed[2], Command::StockReserved).await;
    let customer = format!("customerId={}", uuid::Uuid::from_u128(4));
    for (query, expected) in [
        ("shopId=north", &[4, 2, 0][..]),
        ("shopId=south%2F1", &[1]),
        ("shopId=north&shopId=south/1&shopId=north", &[4, 2, 1, 0]),
        ("shopId=north&status=CONFIRMED", &[2]),
        ("shopId=north&status=PENDING&status=DELIVERED", &[4, 0]),
        (&*format!("shopId=north&{customer}"), &[4]),
        (&*format!("shopId=south/1&{customer}"), &[]),
        ("shopId=west", &[]),
        ("shopId=", &[4, 3, 2, 1, 0]),
    ] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/orders?{query}&limit=2&cursor={cursor}");
            let page = api.get(&path).await.json();
            let items = page["items"].as_array().expect("items");
            seen.extend(
                items
                    .iter()
                    .map(|item| item["id"].as_str().expect("an id").to_owned()),
            );
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        let expected: Vec<String> = expected.iter().map(|n| placed[*n].clone()).collect();
        assert_eq!(seen, expected, "{query}");
    }
    let many = "shopId=a&".repeat(17);
    let answer = api.get(&format!("/api/v1/orders?{many}")).await;
    let problem = answer.problem(400, "invalid-parameter", "/api/v1/orders");
    assert_eq!(problem["detail"], "shopId may be given 16 times at most");
}

#[tokio::test]
async fn what_a_retry_can_cure_says_when() {
    let api = Api::new().await;
    let path = format!("/api/v1/orders/{}", api.place().await);
    let cases = [
        (OrdersError::Quarantined, "order-quarantined", 30),
        (OrdersError::Restarted, "order-restarted", 1),
        (
            OrdersError::Overloaded {
                full: Full::Order,
                retry_after: Duration::from_millis(2_100),
            },
            "overloaded",
            3,
        ),
        (
            OrdersError::Unavailable {
                why: "the journal is away",
                retry_after: Duration::ZERO,
            },
            "unavailable",
            1,
        ),
    ];
    for (error, code, seconds) in cases {
        api.orders.next(Next::Fail(error));
        let answer = api.get(&path).await;
        answer.problem(503, code, &path);
        let told = answer.header("retry-after").and_then(|it| it.parse().ok());
        // Up to twice as long, so that not all come back together.
        let range = seconds..=2 * seconds;
        assert!(told.is_some_and(|it: u64| range.contains(&it)), "{told:?}");
    }
    api.store.close().await;
    let list = api.get("/api/v1/orders").await;
    let problem = list.problem(503, "unavailable", "/api/v1/orders");
    assert!(
        !problem.to_string().contains("closed"),
        "nothing of the inside: {problem}"
    );
    // What is in memory is read, and may be old.
    for path in [path.clone(), format!("{path}/history")] {
        api.orders.next(Next::Old(Duration::from_millis(7_900)));
        let read = api.get(&path).await;
        assert_eq!((read.status.as_u16(), read.header("age")), (200, Some("7")));
    }
}
