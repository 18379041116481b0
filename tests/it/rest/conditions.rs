//! Conditional requests and idempotency keys.

use axum::body::Body;
use serde_json::json;
use trackops::codec::rfc3339;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops_domain::command::Command;

use super::support::{Api, pizza};

#[tokio::test]
async fn if_match_compares_strongly() {
    let api = Api::new().await;
    let id = api.place().await;
    api.saga(&id, Command::StockReserved).await;
    let path = format!("/api/v1/orders/{id}/status");
    let step = json!({ "status": "PREPARING" });
    for stale in ["\"1\"", "W/\"2\"", "\"02\"", "\"x\", \"3\""] {
        let answer = api
            .json_with("PUT", &path, &[("if-match", stale)], &step)
            .await;
        answer.problem(412, "precondition-failed", &path);
        assert_eq!(answer.header("etag"), Some("\"2\""));
    }
    let answer = api
        .json_with("PUT", &path, &[("if-match", "2")], &step)
        .await;
    answer.problem(400, "invalid-header", &path);
    let answer = api
        .json_with("PUT", &path, &[("if-match", "\"1\", \"2\"")], &step)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (200, Some("\"3\""))
    );
    let step = json!({ "status": "IN_TRANSIT" });
    let answer = api
        .json_with("PUT", &path, &[("if-match", "*")], &step)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (200, Some("\"4\""))
    );
}

#[tokio::test]
async fn an_unchanged_order_is_a_304_unless_a_courier_moves() {
    let api = Api::new().await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}");
    let conditional = async |tag| {
        api.send("GET", &path, &[("if-none-match", tag)], Body::empty())
            .await
    };
    for known in ["\"1\"", "W/\"1\"", "*", "\"9\", \"1\""] {
        let answer = conditional(known).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (304, ""),
            "{known}"
        );
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    assert_eq!(conditional("\"2\"").await.status, 200);
    conditional("1").await.problem(400, "invalid-header", &path);

    api.saga(&id, Command::StockReserved).await;
    for status in ["PREPARING", "IN_TRANSIT"] {
        let step = json!({ "status": status });
        api.json("PUT", &format!("{path}/status"), &step).await;
    }
    assert_eq!(conditional("\"4\"").await.status, 304);
    let now = rfc3339::format(SystemClock.now());
    let here = now.replace('Z', "+00:00");
    let position = json!({ "lat": 52.5, "lon": 13.4, "at": here });
    let answer = api
        .json("PUT", &format!("{path}/location"), &position)
        .await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""));
    let answer = conditional("\"4\"").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag")),
        (200, Some("\"4\""))
    );
    let courier = json!({ "lat": 52.5, "lon": 13.4, "at": now });
    assert_eq!(answer.json()["courier"], courier);
}

#[tokio::test]
async fn a_repeated_placement_gives_the_first_answer_again() {
    let api = Api::new().await;
    let key = [("idempotency-key", "key-1")];
    let first = api
        .json_with("POST", "/api/v1/orders", &key, &pizza())
        .await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotency-replayed")),
        (201, None)
    );
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    api.saga(&id, Command::StockReserved).await;

    // Keys in another order, white space, unknown and null fields make no other body.
    let mut reordered = json!({ "more": true });
    for (field, value) in pizza().as_object().expect("an object") {
        reordered[field] = value.clone();
    }
    reordered["items"][0]["colour"] = json!(null);
    for body in [pizza(), reordered] {
        let again = api.json_with("POST", "/api/v1/orders", &key, &body).await;
        assert_eq!(again.status, 201, "{}", again.text);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.text, first.text, "as of version 1");
        for name in ["location", "etag"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    let mut other = pizza();
    other["items"][0]["quantity"] = json!(3);
    let answer = api.json_with("POST", "/api/v1/orders", &key, &other).await;
    answer.problem(422, "idempotency-key-reused", "/api/v1/orders");
}

#[tokio::test]
async fn a_repeated_command_is_answered_before_its_condition_is_looked_at() {
    let api = Api::new().await;
    let id = api.place().await;
    api.saga(&id, Command::StockReserved).await;
    let path = format!("/api/v1/orders/{id}/status");
    let headers = [("idempotency-key", "key-1"), ("if-match", "\"2\"")];
    let step = json!({ "status": "PREPARING" });
    let first = api.json_with("PUT", &path, &headers, &step).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotency-replayed")),
        (200, None)
    );
    api.json("PUT", &path, &json!({ "status": "IN_TRANSIT" }))
        .await;
    let again = api.json_with("PUT", &path, &headers, &step).await;
    assert_eq!((again.status.as_u16(), &again.text), (200, &first.text));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("etag"), Some("\"3\""));

    let other = json!({ "status": "DELIVERED" });
    let answer = api.json_with("PUT", &path, &headers, &other).await;
    answer.problem(422, "idempotency-key-reused", &path);
}

#[tokio::test]
async fn a_cancellation_with_the_same_key_and_another_reason_is_refused() {
    let api = Api::new().await;
    let path = format!("/api/v1/orders/{}/cancel", api.place().await);
    let key = [("idempotency-key", "key-1")];
    for (reason, status) in [("rain", 200), ("rain", 200), ("snow", 422)] {
        let body = json!({ "reason": reason });
        let answer = api.json_with("POST", &path, &key, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    // Also where the order was cancelled already, for the first reason.
    for (key, replayed) in [("key-2", None), ("key-2", Some("true"))] {
        let headers = [("idempotency-key", key)];
        let answer = api
            .json_with("POST", &path, &headers, &json!({ "reason": "hail" }))
            .await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("idempotency-replayed")
            ),
            (200, replayed)
        );
        assert_eq!(answer.json()["reason"], "rain");
    }
    let headers = [("idempotency-key", "key-2")];
    let body = json!({ "reason": "sleet" });
    let answer = api.json_with("POST", &path, &headers, &body).await;
    answer.problem(422, "idempotency-key-reused", &path);
}

#[tokio::test]
async fn a_repeated_position_is_marked_and_another_under_its_key_is_refused() {
    let api = Api::new().await;
    let id = api.place().await;
    api.saga(&id, Command::StockReserved).await;
    let order = format!("/api/v1/orders/{id}");
    for status in ["PREPARING", "IN_TRANSIT"] {
        let body = json!({ "status": status });
        api.json("PUT", &format!("{order}/status"), &body).await;
    }
    let path = format!("{order}/location");
    let key = [("idempotency-key", "key-1")];
    let here = json!({ "lat": 52.5, "lon": 13.4 });
    for replayed in [None, Some("true")] {
        let answer = api.json_with("PUT", &path, &key, &here).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("idempotency-replayed")
            ),
            (204, replayed)
        );
    }
    let there = json!({ "lat": 52.6, "lon": 13.4 });
    let answer = api.json_with("PUT", &path, &key, &there).await;
    answer.problem(422, "idempotency-key-reused", &path);
    let answer = api.json("PUT", &path, &there).await;
    assert_eq!(answer.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_read_evaluates_if_match_before_if_none_match() {
    let api = Api::new().await;
    let path = format!("/api/v1/orders/{}", api.place().await);
    let cases = [
        (Some("\"1\""), None, 200),
        (Some("*"), None, 200),
        (Some("\"2\", \"1\""), None, 200),
        (Some("\"2\""), None, 412),
        (Some("W/\"1\""), None, 412),
        (Some("\"1\""), Some("\"1\""), 304),
        (Some("\"1\""), Some("\"2\""), 200),
        (Some("\"2\""), Some("\"1\""), 412),
        (Some("1"), None, 400),
        (Some("\"1\""), Some("1"), 400),
    ];
    for method in ["GET", "HEAD"] {
        for (matching, none_matching, status) in cases {
            let headers: Vec<(&str, &str)> = [
                matching.map(|value| ("if-match", value)),
                none_matching.map(|value| ("if-none-match", value)),
            ]
            .into_iter()
            .flatten()
            .collect();
            let answer = api.send(method, &path, &headers, Body::empty()).await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
            if status != 400 {
                assert_eq!(answer.header("etag"), Some("\"1\""), "{headers:?}");
            }
        }
    }
    // A condition on what isn't there doesn't change that it isn't there.
    let nowhere = "/api/v1/orders/0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f";
    let headers = [("if-match", "*")];
    let answer = api.send("GET", nowhere, &headers, Body::empty()).await;
    answer.problem(404, "order-not-found", nowhere);
}
