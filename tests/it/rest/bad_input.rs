//! What a client can get wrong, and what it is told: status, code, and the field by its pointer.

use axum::body::Body;
use serde_json::{Value, json};
use trackops::codec::rfc3339;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops_domain::command::Command;
use trackops_domain::time::Timestamp;

use super::doubles::Next;
use super::support::{Api, pizza};

pub(super) const NO_ORDER: &str = "/api/v1/orders/0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f";

/// The vocabulary's order with `value` at `pointer`; `null` takes the field away.
fn with(pointer: &str, value: Value) -> Value {
    let mut order = pizza();
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
    let parent = order.pointer_mut(parent).expect("a parent");
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(field)),
        (Value::Object(map), value) => drop(map.insert(field.into(), value)),
        (Value::Array(items), value) => items[field.parse::<usize>().expect("an index")] = value,
        _ => unreachable!("{pointer}"),
    }
    order
}

#[tokio::test]
async fn a_field_that_breaks_a_rule_is_named() {
    let line = || json!({ "sku": "A", "quantity": 1, "unitPrice": 1 });
    let cases = [
        ("/items", json!([]), "/items"),
        ("/items", json!(vec![line(); 101]), "/items"),
        ("/items/0/quantity", json!(0), "/items/0/quantity"),
        ("/items/0/quantity", json!(10_001), "/items/0/quantity"),
        ("/items/0/quantity", json!(-1), "/items/0/quantity"),
        ("/items/0/unitPrice", json!(-1), "/items/0/unitPrice"),
        (
            "/items/0/unitPrice",
            json!(1_000_000_001),
            "/items/0/unitPrice",
        ),
        ("/items/0/sku", json!(""), "/items/0/sku"),
        ("/items/0/sku", json!("a b"), "/items/0/sku"),
        ("/currency", json!("EURO"), "/currency"),
        ("/currency", json!("XXX"), "/currency"),
        ("/address/country", json!("de"), "/address/country"),
        ("/address/country", json!("XX"), "/address/country"),
        ("/address/country", json!("UK"), "/address/country"),
        ("/items/0/sku", json!("."), "/items/0/sku"),
        ("/items/0/sku", json!(".."), "/items/0/sku"),
        (
            "/address/street",
            json!("\u{200b}\u{2060}\u{feff}"),
            "/address/street",
        ),
        ("/address/city", json!(" \t"), "/address/city"),
        (
            "/address/postalCode",
            json!("\u{3164}"),
            "/address/postalCode",
        ),
        ("/address/phone", json!("\u{ad}"), "/address/phone"),
        ("/address/street", json!(""), "/address/street"),
        ("/address/street", json!("a\u{0}b"), "/address/street"),
        ("/address/lat", json!(90.5), "/address/lat"),
        ("/address/lon", Value::Null, "/address"),
        (
            "/deliveryInstructions",
            json!("x\u{0}"),
            "/deliveryInstructions",
        ),
        (
            "/deliveryInstructions",
            json!("x".repeat(1001)),
            "/deliveryInstructions",
        ),
        ("/shopId", json!(""), "/shopId"),
        ("/shopId", json!("north wing"), "/shopId"),
        ("/shopId", json!("x".repeat(65)), "/shopId"),
        // Of the wrong type, or not there.
        ("/shopId", json!(7), "/shopId"),
        ("/customerId", json!("me"), "/customerId"),
        ("/customerId", json!(7), "/customerId"),
        ("/customerId", Value::Null, "/customerId"),
        ("/currency", json!(978), "/currency"),
        ("/items", json!({}), "/items"),
        ("/items", json!("PIZZA"), "/items"),
        ("/items/0", json!(["PIZZA", 1, 950]), "/items/0"),
        ("/items/0/quantity", json!("2"), "/items/0/quantity"),
        ("/items/0/quantity", json!(1.5), "/items/0/quantity"),
        ("/items/0/quantity", json!(1e300), "/items/0/quantity"),
        ("/items/0/unitPrice", Value::Null, "/items/0/unitPrice"),
        ("/address", json!(["a", "b", "c", "DE"]), "/address"),
        ("/address/postalCode", Value::Null, "/address/postalCode"),
        ("/address/lat", json!("52"), "/address/lat"),
    ];
    let api = Api::new().await;
    for (pointer, value, named) in cases {
        let order = with(pointer, value);
        let answer = api.json("POST", "/api/v1/orders", &order).await;
        let problem = answer.problem(422, "validation-failed", "/api/v1/orders");
        assert_eq!(problem["errors"][0]["pointer"], named, "{order}: {problem}");
    }
    let all = api.get("/api/v1/orders").await.json();
    assert_eq!(all["items"], json!([]), "nothing is stored");
}

#[tokio::test]
async fn every_broken_field_is_named_at_once() {
    let mut order = with("/items/0/quantity", json!(0));
    order["currency"] = json!("EURO");
    let answer = Api::new()
        .await
        .json("POST", "/api/v1/orders", &order)
        .await;
    let problem = answer.problem(422, "validation-failed", "/api/v1/orders");
    let pointers: Vec<&Value> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(pointers, ["/currency", "/items/0/quantity"]);
}

/// Missing, of the wrong type, and against a rule: in one answer, in the words of the API.
#[tokio::test]
async fn faults_of_every_kind_are_named_at_once() {
    let body = json!({
        "currency": "EURO",
        "items": [{ "sku": "..", "quantity": 1.5, "unitPrice": 950 }, { "quantity": 0 }],
        "address": { "street": "\u{200b}", "city": 7, "country": "XX", "lat": true, "lon": 13.4 },
        "deliveryInstructions": ["ring"],
    });
    let answer = Api::new().await.json("POST", "/api/v1/orders", &body).await;
    let problem = answer.problem(422, "validation-failed", "/api/v1/orders");
    let named = |error: &Value| {
        let text = |field: &str| error[field].as_str().expect("text").to_owned();
        (text("pointer"), text("detail"))
    };
    let errors = problem["errors"].as_array().expect("errors");
    let mut errors: Vec<_> = errors.iter().map(named).collect();
    errors.sort();
    let expected = [
        ("/address/city", "must be a string"),
        (
            "/address/country",
            "must be an ISO 3166-1 alpha-2 code in capital letters, such as DE",
        ),
        ("/address/lat", "must be a number from -90 to 90"),
        ("/address/postalCode", "is missing"),
        ("/address/street", "must have a visible character"),
        ("/currency", "must be an ISO 4217 code such as EUR"),
        ("/customerId", "is missing"),
        ("/deliveryInstructions", "must be a string"),
        (
            "/items/0/quantity",
            "must be a whole number from 1 to 10000",
        ),
        ("/items/0/sku", "must not be . or .., which no URL can name"),
        ("/items/1/quantity", "must be 1 to 10000"),
        ("/items/1/sku", "is missing"),
        ("/items/1/unitPrice", "is missing"),
    ];
    let expected = expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned()));
    assert_eq!(errors, expected);
    assert_eq!(problem["detail"], "13 fields are not valid");
}

/// JSON has one kind of number: what is whole is whole, however it is written.
#[tokio::test]
async fn whole_numbers_may_be_written_as_floats() {
    let api = Api::new().await;
    let json = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let order = pizza().to_string();
    let first = api
        .send("POST", "/api/v1/orders", &json, order.clone())
        .await;
    assert_eq!(first.status, 201, "{}", first.text);
    let written = order
        .replace("\"quantity\":2", "\"quantity\":2.0")
        .replace("\"unitPrice\":950", "\"unitPrice\":9.5e2");
    assert_ne!(written, order);
    // The same body, so the same order.
    let again = api.send("POST", "/api/v1/orders", &json, written).await;
    assert_eq!(
        again.header("idempotency-replayed"),
        Some("true"),
        "{}",
        again.text
    );
    assert_eq!(again.text, first.text);

    let item = "/api/v1/inventory/items/A";
    for (on_hand, expected) in [
        ("1e3", 1_000_u64),
        ("7.0", 7),
        ("9007199254740991.0", (1 << 53) - 1),
    ] {
        let body = format!("{{\"onHand\":{on_hand}}}");
        let answer = api.send("PUT", item, &json[..1], body).await;
        assert_eq!(answer.json()["onHand"], expected, "{}", answer.text);
    }
    for on_hand in ["1.5", "1e300", "9007199254740992.0", "-1.0"] {
        let body = format!("{{\"onHand\":{on_hand}}}");
        let answer = api.send("PUT", item, &json[..1], body).await;
        let problem = answer.problem(422, "validation-failed", item);
        assert_eq!(
            problem["errors"][0]["pointer"], "/onHand",
            "{on_hand}: {problem}"
        );
        let detail = problem["errors"][0]["detail"].as_str().expect("a detail");
        assert!(
            !detail.contains("i64") && !detail.contains("floating"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn what_is_no_json_is_a_400() {
    let good = pizza().to_string();
    let not_utf8 = [
        good.as_bytes()[..good.len() - 1].to_vec(),
        b",\"x\":\"\xff\"}".to_vec(),
    ]
    .concat();
    // The type error comes first, but the whole is no JSON.
    let broken_later = good.replacen("\"EUR\"", "978", 1);
    let broken_later = broken_later[..broken_later.len() - 1].to_owned();
    let bodies = [
        Vec::new(),
        b"{".to_vec(),
        b"hello".to_vec(),
        format!("{good} x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        good.replacen(':', "=", 1).into_bytes(),
        broken_later.into_bytes(),
        not_utf8,
    ];
    let api = Api::new().await;
    let json = [("content-type", "application/json")];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = api.send("POST", "/api/v1/orders", &json, body).await;
        assert_eq!(answer.status, 400, "{shown}");
        answer.problem(400, "malformed-json", "/api/v1/orders");
    }
    // JSON all right, but no order: a rule is broken, not the syntax.
    for body in [
        "null",
        "[]",
        "\"x\"",
        "3",
        "{}",
        "{\"customerId\":\"\\ud800\"}",
    ] {
        let answer = api.send("POST", "/api/v1/orders", &json, body).await;
        answer.problem(422, "validation-failed", "/api/v1/orders");
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let api = Api::new().await;
    let order = with("/items/0/colour", json!({ "deep": [[[[]]]] }));
    let answer = api.json("POST", "/api/v1/orders?x=1", &order).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn the_media_type_must_be_json() {
    let api = Api::new().await;
    let body = pizza().to_string();
    for given in ["text/plain", "application/xml", "application/jsonp", ""] {
        let headers = [("content-type", given)];
        let answer = api
            .send("POST", "/api/v1/orders", &headers, body.clone())
            .await;
        answer.problem(415, "unsupported-media-type", "/api/v1/orders");
    }
    let answer = api.send("POST", "/api/v1/orders", &[], body.clone()).await;
    answer.problem(415, "unsupported-media-type", "/api/v1/orders");
    for given in ["application/json", "Application/JSON; charset=utf-8"] {
        let headers = [("content-type", given)];
        let answer = api
            .send("POST", "/api/v1/orders", &headers, body.clone())
            .await;
        assert_eq!(answer.status, 201, "{given}");
    }
}

#[tokio::test]
async fn a_coded_body_is_a_415_that_names_what_is_taken() {
    let api = Api::new().await;
    let body = pizza().to_string();
    let send = async |coding| {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", coding),
        ];
        api.send("POST", "/api/v1/orders", &headers, body.clone())
            .await
    };
    for coding in ["gzip", "br", "x-gzip", "identity, gzip", "GZIP", "\"\""] {
        let answer = send(coding).await;
        answer.problem(415, "unsupported-media-type", "/api/v1/orders");
        assert_eq!(
            answer.header("accept-encoding"),
            Some("identity"),
            "{coding}"
        );
    }
    for coding in ["identity", "Identity", ""] {
        assert_eq!(send(coding).await.status, 201, "{coding}");
    }
}

#[tokio::test]
async fn a_body_may_have_256_kib_and_no_more() {
    let api = Api::new().await;
    let json = [("content-type", "application/json")];
    let order = pizza().to_string();
    let padded = |bytes: usize| format!("{order}{}", " ".repeat(bytes - order.len()));
    let answer = api
        .send("POST", "/api/v1/orders", &json, padded(256 * 1024))
        .await;
    assert_eq!(answer.status, 201);
    let answer = api
        .send("POST", "/api/v1/orders", &json, padded(256 * 1024 + 1))
        .await;
    answer.problem(413, "payload-too-large", "/api/v1/orders");
    // In chunks, without a declared length.
    let chunks = (0..300).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let answer = api.send("POST", "/api/v1/orders", &json, body).await;
    answer.problem(413, "payload-too-large", "/api/v1/orders");
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_408() {
    let api = Api::new().await;
    tokio::time::pause();
    let start = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
    let endless = futures_util::StreamExt::chain(start, futures_util::stream::pending());
    let json = [("content-type", "application/json")];
    let answer = api
        .send("POST", "/api/v1/orders", &json, Body::from_stream(endless))
        .await;
    answer.problem(408, "request-timeout", "/api/v1/orders");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn the_small_bodies_are_checked_too() {
    let api = Api::new().await;
    let order = format!("/api/v1/orders/{}", api.place().await);
    let cases = [
        ("PUT", "/status", json!({ "status": "LOST" }), "/status"),
        ("PUT", "/status", json!({ "status": 3 }), "/status"),
        ("PUT", "/status", json!({}), "/status"),
        ("PUT", "/status", json!(["PREPARING"]), ""),
        ("POST", "/cancel", json!({ "reason": "" }), "/reason"),
        ("POST", "/cancel", json!({ "reason": "a\u{0}" }), "/reason"),
        (
            "POST",
            "/cancel",
            json!({ "reason": "\u{200d} " }),
            "/reason",
        ),
        (
            "POST",
            "/cancel",
            json!({ "reason": "x".repeat(501) }),
            "/reason",
        ),
        ("POST", "/cancel", json!({ "reason": [] }), "/reason"),
        ("PUT", "/location", json!({ "lat": 91, "lon": 0 }), "/lat"),
        ("PUT", "/location", json!({ "lat": 0, "lon": -181 }), "/lon"),
        ("PUT", "/location", json!({ "lat": "0", "lon": 0 }), "/lat"),
        ("PUT", "/location", json!({ "lat": 0 }), "/lon"),
        (
            "PUT",
            "/location",
            json!({ "lat": 0, "lon": 0, "at": "noon" }),
            "/at",
        ),
    ];
    for (method, path, body, named) in cases {
        let path = format!("{order}{path}");
        let answer = api.json(method, &path, &body).await;
        let problem = answer.problem(422, "validation-failed", &path);
        assert_eq!(problem["errors"][0]["pointer"], named, "{body}: {problem}");
    }
    let item = "/api/v1/inventory/items/A";
    for on_hand in [
        json!(-1),
        json!(1.5),
        json!("7"),
        json!(1_u64 << 53),
        Value::Null,
    ] {
        let answer = api.json("PUT", item, &json!({ "onHand": on_hand })).await;
        let problem = answer.problem(422, "validation-failed", item);
        assert_eq!(problem["errors"][0]["pointer"], "/onHand", "{problem}");
    }
}

#[tokio::test]
async fn a_position_was_measured_now_or_a_little_earlier() {
    let api = Api::new().await;
    let id = api.place().await;
    let order = format!("/api/v1/orders/{id}");
    api.saga(&id, Command::StockReserved).await;
    for status in ["PREPARING", "IN_TRANSIT"] {
        let body = json!({ "status": status });
        api.json("PUT", &format!("{order}/status"), &body).await;
    }
    let path = format!("{order}/location");
    let from_now = |seconds: i64| {
        let at = SystemClock.now().0 + seconds * 1_000;
        json!(rfc3339::format(Timestamp(at)))
    };
    let refused = [
        json!("0000-01-01T00:00:00+23:59"),
        json!("9999-12-31T23:59:59-00:01"),
        json!("2099-01-01T00:00:00Z"),
        json!("1970-01-01T00:00:00Z"),
        json!("2026-01-31"),
        json!("2026-01-31T12:00:00"),
        json!(1_769_860_800_250_i64),
        from_now(40),
        from_now(-610),
    ];
    for at in refused {
        let body = json!({ "lat": 1, "lon": 1, "at": at });
        let answer = api.json("PUT", &path, &body).await;
        let problem = answer.problem(422, "validation-failed", &path);
        assert_eq!(problem["errors"][0]["pointer"], "/at", "{body}: {problem}");
    }
    for at in [from_now(20), from_now(-590), Value::Null] {
        let body = json!({ "lat": 1, "lon": 1, "at": at });
        let answer = api.json("PUT", &path, &body).await;
        assert_eq!(answer.status, 204, "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_in_the_same_form() {
    let api = Api::new().await;
    api.orders.next(Next::Panic);
    api.get(NO_ORDER)
        .await
        .problem(500, "internal-error", NO_ORDER);
    api.get(NO_ORDER)
        .await
        .problem(404, "order-not-found", NO_ORDER);
}
