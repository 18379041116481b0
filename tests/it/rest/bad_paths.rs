//! Paths, queries, methods and keys that mean nothing: each has its problem. What holds for every route alike is in
//! [`super::every_route`].

use axum::body::Body;
use serde_json::json;

use super::bad_input::NO_ORDER;
use super::support::{Api, pizza};

/// Path, code, and what the detail names.
const MEANINGLESS: &[(&str, &str, &str)] = &[
    (
        "/api/v1/orders/0190a5c27b1e7cc398c4dc0c0c07398f",
        "invalid-parameter",
        "UUID",
    ),
    ("/api/v1/orders/%ff", "invalid-parameter", "UTF-8"),
    ("/api/v1/orders?status=LOST", "invalid-parameter", "status"),
    (
        "/api/v1/orders?status=pending",
        "invalid-parameter",
        "status",
    ),
    (
        "/api/v1/orders?status=PENDING&status=LOST",
        "invalid-parameter",
        "status",
    ),
    ("/api/v1/orders?shopId=a%20b", "invalid-parameter", "shopId"),
    (
        "/api/v1/orders?shopId=a&shopId=%C3%A4",
        "invalid-parameter",
        "shopId",
    ),
    ("/api/v1/orders?cursor=00", "invalid-cursor", "cursor"),
    (
        "/api/v1/orders?cursor=00&cursor=",
        "invalid-cursor",
        "cursor",
    ),
    (
        "/api/v1/inventory/items?cursor=20",
        "invalid-cursor",
        "cursor",
    ),
    ("/api/v1/inventory/items/a%20b", "invalid-parameter", "SKU"),
    ("/api/v1/inventory/items/%2e", "invalid-parameter", "SKU"),
    ("/api/v1/inventory/items/%2E%2e", "invalid-parameter", "SKU"),
    (
        "/admin/v1/dead-letters?cursor=41",
        "invalid-cursor",
        "cursor",
    ),
    (
        "/admin/v1/dead-letters?topic=NONE",
        "invalid-parameter",
        "topic",
    ),
    (
        "/admin/v1/dead-letters/ORDER_CREATED/a/0",
        "invalid-parameter",
        "partition",
    ),
];

#[tokio::test]
async fn a_path_or_query_that_means_nothing_is_a_400() {
    let api = Api::new().await;
    for (path, code, named) in MEANINGLESS {
        let answer = api.get(path).await;
        let instance = path.split('?').next().expect("a path");
        let problem = answer.problem(400, code, instance);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(named), "{path}: {detail}");
    }
    let answer = api.get("/api/v1/orders?limit=200&status=&x=%zz&y").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn what_is_not_there_is_a_404() {
    let cases = [
        (NO_ORDER.to_owned(), "order-not-found"),
        (format!("{NO_ORDER}/history"), "order-not-found"),
        ("/api/v1/inventory/items/NONE".into(), "item-not-found"),
        (
            NO_ORDER.replace("orders", "inventory/reservations"),
            "reservation-not-found",
        ),
        (
            NO_ORDER.replace("api/v1/orders", "admin/v1/actors"),
            "order-not-found",
        ),
        (
            "/admin/v1/dead-letters/ORDER_CREATED/0/9".into(),
            "dead-letter-not-found",
        ),
        (format!("{NO_ORDER}/tracking-link"), "order-not-found"),
        ("/api/v1/nothing".into(), "not-found"),
        ("/api/v1/orders/".into(), "not-found"),
        ("/docs/nothing.js".into(), "not-found"),
        ("/problems/nothing".into(), "not-found"),
    ];
    let api = Api::new().await;
    for (path, code) in cases {
        api.get(&path).await.problem(404, code, &path);
    }
    let step = json!({ "status": "PREPARING" });
    let path = format!("{NO_ORDER}/status");
    // Before any other check.
    let stale = [("if-match", "\"9\"")];
    let answer = api.json_with("PUT", &path, &stale, &step).await;
    answer.problem(404, "order-not-found", &path);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let cases = [
        ("DELETE", "/api/v1/orders", "GET,HEAD,POST,OPTIONS"),
        ("POST", NO_ORDER, "GET,HEAD,OPTIONS"),
        ("GET", "/api/v1/orders/x/status", "PUT,OPTIONS"),
        ("POST", "/api/v1/inventory/items/A", "GET,HEAD,PUT,OPTIONS"),
        ("POST", "/metrics", "GET,HEAD,OPTIONS"),
    ];
    let api = Api::new().await;
    for (method, path, allow) in cases {
        let answer = api.send(method, path, &[], Body::empty()).await;
        answer.problem(405, "method-not-allowed", path);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_one_value_of_up_to_255_characters() {
    let api = Api::new().await;
    let longest = "k".repeat(255);
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let answer = api
        .json_with("POST", "/api/v1/orders", &twice, &pizza())
        .await;
    answer.problem(400, "invalid-idempotency-key", "/api/v1/orders");
    let longest = [("idempotency-key", &*longest)];
    let answer = api
        .json_with("POST", "/api/v1/orders", &longest, &pizza())
        .await;
    assert_eq!(answer.status, 201);
}
