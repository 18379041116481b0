//! Bad input over real HTTP: each row is refused by name, and nothing of it is stored.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::scenarios::Socket;
use crate::support::bodies::order;
use crate::support::client::{Answer, Client};

const MARK: &str = "5f6c1f8e-0000-4000-8000-00000000bad1";

/// An order with one field replaced or added; of a customer whose orders are counted at the end.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = order();
    body["customerId"] = json!(MARK);
    // The orders of this suite have none.
    body["shopId"] = Value::Null;
    *body.pointer_mut(pointer).expect("the field is there") = value;
    body
}

#[track_caller]
fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:#?}");
    let kind = answer.header("content-type");
    assert!(kind.starts_with("application/problem+json"), "{answer:#?}");
    assert_eq!(answer.body["status"], status, "{answer:#?}");
    for field in ["type", "title", "detail", "code", "instance"] {
        assert!(
            !answer.text(field).is_empty(),
            "{field} is missing: {answer:#?}"
        );
    }
}

/// Rules of the content: 422 that names the field.
pub async fn fields_that_break_a_rule_are_named(client: &Client) {
    let rows = [
        ("/items", json!([]), "/items"),
        ("/items/0/quantity", json!(0), "/items/0/quantity"),
        ("/items/0/quantity", json!(10_001), "/items/0/quantity"),
        ("/items/0/quantity", json!("two"), "quantity"),
        ("/items/0/quantity", json!(1.5), "quantity"),
        ("/items/0/unitPrice", json!(-1), "/items/0/unitPrice"),
        (
            "/items/0/unitPrice",
            json!(1_000_000_001),
            "/items/0/unitPrice",
        ),
        ("/items/0/sku", json!("has space"), "/items/0/sku"),
        ("/currency", json!("EURO"), "/currency"),
        ("/currency", json!("eur"), "/currency"),
        ("/customerId", json!("nobody"), "customerId"),
        ("/address/country", json!("Germany"), "/address/country"),
        ("/address/lat", json!(91.0), "/address/lat"),
        ("/address", json!("somewhere"), "address"),
        (
            "/deliveryInstructions",
            json!("ring\u{0}twice"),
            "/deliveryInstructions",
        ),
        ("/shopId", json!("küche"), "/shopId"),
        ("/shopId", json!(["north"]), "/shopId"),
    ];
    for (pointer, value, named) in rows {
        let answer = client.place(&with(pointer, value.clone()), None).await;
        is_problem(&answer, 422);
        let errors = answer.body["errors"].to_string();
        assert!(errors.contains(named), "{pointer} = {value}: {answer:#?}");
    }
    let list = client
        .get(&format!("/api/v1/orders?customerId={MARK}"))
        .await
        .expect(200);
    assert_eq!(list.body["items"], json!([]), "nothing of it is stored");
}

/// Bodies that are no JSON, too large, of another type.
pub async fn bodies_that_are_no_orders_are_refused(client: &Client) {
    let post = async |kind: &str, body: Vec<u8>| {
        client
            .send_raw(Method::POST, "/api/v1/orders", kind, body)
            .await
    };
    is_problem(
        &post("application/json", b"{\"customerId\":".to_vec()).await,
        400,
    );
    is_problem(&post("application/json", b"".to_vec()).await, 400);
    is_problem(
        &post("application/json", vec![b'"', 0xff, 0xfe, b'"']).await,
        400,
    );
    is_problem(&post("application/json", b"[1, 2]".to_vec()).await, 422);
    is_problem(
        &post("text/plain", order().to_string().into_bytes()).await,
        415,
    );
    let mut large = order();
    large["padding"] = json!("x".repeat(256 * 1024));
    is_problem(&client.place(&large, None).await, 413);
    large["padding"] = json!("unknown fields are ignored");
    client.place(&large, None).await.expect(201);
}

/// Paths, queries, headers and methods.
pub async fn requests_that_make_no_sense_are_refused(client: &Client) {
    let unknown = Uuid::new_v4();
    for (path, status) in [
        ("/api/v1/orders/not-a-uuid", 400),
        ("/api/v1/orders?limit=0", 400),
        ("/api/v1/orders?limit=201", 400),
        ("/api/v1/orders?status=LOST", 400),
        ("/api/v1/orders?cursor=nonsense", 400),
        ("/api/v1/nothing", 404),
    ] {
        is_problem(&client.get(path).await, status);
    }
    is_problem(&client.show(unknown).await, 404);
    is_problem(&client.advance(unknown, "PREPARING", &[]).await, 404);
    is_problem(&client.cancel(unknown, "whatever").await, 404);
    is_problem(
        &client
            .get(&format!("/api/v1/orders/{unknown}/history"))
            .await,
        404,
    );
    is_problem(
        &client
            .get(&format!("/api/v1/orders/{unknown}/events"))
            .await,
        404,
    );
    let id = client.place(&order(), None).await.expect(201).id();
    is_problem(&client.advance(id, "LOST", &[]).await, 422);
    is_problem(&client.locate(id, 95.0, 13.0).await, 422);
    let path = format!("/api/v1/orders/{id}");
    let deleted = client.call(Method::DELETE, &path, &[], None).await;
    is_problem(&deleted, 405);
    assert!(deleted.header("allow").contains("GET"), "{deleted:#?}");
    let long = "k".repeat(256);
    is_problem(&client.place(&order(), Some(&long)).await, 400);
    is_problem(&client.place(&order(), Some("two words")).await, 400);
}

/// On the socket: an `error`, and the socket stays open.
pub async fn the_socket_survives_bad_messages(client: &Client) {
    let mut socket = Socket::open(client).await;
    let unknown = Uuid::new_v4();
    socket
        .send(&json!({"type": "subscribe", "orderId": unknown}))
        .await;
    let error = socket.next().await;
    assert_eq!(
        (error["type"].as_str(), &error["orderId"]),
        (Some("error"), &json!(unknown))
    );
    assert_eq!(error["problem"]["status"], 404, "{error}");
    for message in [
        json!("nonsense"),
        json!({"type": "dance"}),
        json!({"type": "subscribe", "orderId": "not-a-uuid"}),
        json!({"type": "subscribe", "orderId": unknown, "since": -1}),
    ] {
        socket.send(&message).await;
        let error = socket.next().await;
        assert_eq!(error["type"], "error", "{message} was answered by {error}");
    }
    let id = client.place(&order(), None).await.expect(201).id();
    socket
        .send(&json!({"type": "subscribe", "orderId": id}))
        .await;
    let snapshot = socket.next().await;
    assert_eq!(
        (snapshot["type"].as_str(), &snapshot["orderId"]),
        (Some("snapshot"), &json!(id))
    );
}
