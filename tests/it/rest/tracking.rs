//! Tracking links: what whoever has one sees, and what nobody does.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use trackops::ports::clock::SystemClock;
use trackops_domain::access::Role;
use trackops_domain::command::Command;
use trackops_domain::ids::{CustomerId, OrderId};
use uuid::Uuid;

use super::support::{Answer, Api, TRACKING_KEYS, links, pizza, still};

const DAY: Duration = Duration::from_hours(24);

/// Of an order of the link `url`, what stands after the last slash.
fn token(url: &str) -> &str {
    let token = url.strip_prefix("https://shop.example/track/");
    token.expect("a link of the shop")
}

async fn link(api: &Api, order: &str) -> String {
    let path = format!("/api/v1/orders/{order}/tracking-link");
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    answer.json()["trackingUrl"]
        .as_str()
        .expect("a link")
        .to_owned()
}

async fn tracked(api: &Api, url: &str) -> Answer {
    api.get(&format!("/api/v1/tracking/{}", token(url))).await
}

/// The one answer to every link that isn't one.
fn refused(answer: &Answer) -> String {
    let problem = answer.problem(404, "tracking-link-not-found", "/api/v1/tracking");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    // A trace is as long in every answer.
    format!("{} bytes: {problem}", answer.text.len())
}

async fn step(api: &Api, order: &str, body: Value) {
    let path = format!("/api/v1/orders/{order}/status");
    let answer = api.json("PUT", &path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// An order on its way, with a courier who was seen.
async fn on_its_way(api: &Api) -> String {
    let order = api.place().await;
    api.saga(&order, Command::StockReserved).await;
    step(api, &order, json!({"status": "PREPARING"})).await;
    let named = json!({"status": "IN_TRANSIT", "courierId": "anna-7"});
    step(api, &order, named).await;
    let place = json!({"lat": 52.51, "lon": 13.39});
    let path = format!("/api/v1/orders/{order}/location");
    let located = api.json("PUT", &path, &place).await;
    assert_eq!(located.status, 204, "{}", located.text);
    order
}

#[tokio::test]
async fn a_placement_tells_the_link_and_its_repeat_does_too() {
    let api = Api::new().await;
    let key = [("idempotency-key", "key-1")];
    let place = async || {
        let body = pizza();
        let answer = api.json_with("POST", "/api/v1/orders", &key, &body);
        let view = answer.await.json();
        let url = view["trackingUrl"].as_str().expect("a link").to_owned();
        (view["id"].as_str().expect("an id").to_owned(), url)
    };
    let (order, first) = place().await;
    assert_eq!(place().await, (order.clone(), first.clone()));
    assert_eq!(link(&api, &order).await, first);
    let shown = tracked(&api, &first).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.json()["status"], "PENDING");
    // The link is for whoever may place or read the order, not for every reader of a view.
    let path = format!("/api/v1/orders/{order}");
    for path in [&*path, "/api/v1/orders", &format!("{path}/history")] {
        assert!(!api.get(path).await.text.contains(token(&first)), "{path}");
    }
}

#[tokio::test]
async fn whoever_has_the_link_sees_where_the_order_is_and_nothing_of_who_is_who() {
    let api = Api::with_keys().await;
    let key = api.key("till", Role::Service).await;
    let headers = [("authorization", &*key)];
    let placed = api
        .json_with("POST", "/api/v1/orders", &headers, &pizza())
        .await
        .json();
    let order = placed["id"].as_str().expect("an id");
    api.saga(order, Command::StockReserved).await;
    for body in [
        json!({"status": "PREPARING"}),
        json!({"status": "IN_TRANSIT", "courierId": "anna-7"}),
    ] {
        let path = format!("/api/v1/orders/{order}/status");
        let stepped = api.json_with("PUT", &path, &headers, &body).await;
        assert_eq!(stepped.status, 200, "{}", stepped.text);
    }
    let path = format!("/api/v1/orders/{order}/location");
    let place = json!({"lat": 52.51, "lon": 13.39});
    let located = api.json_with("PUT", &path, &headers, &place).await;
    assert_eq!(located.status, 204, "{}", located.text);

    // Without any key.
    let url = placed["trackingUrl"].as_str().expect("a link");
    let shown = tracked(&api, url).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.header("cache-control"), Some("private, no-store"));
    assert_eq!(shown.header("referrer-policy"), Some("no-referrer"));
    let history = format!("/api/v1/orders/{order}/history");
    let history = api.send("GET", &history, &headers, Body::empty()).await;
    let mut secrets: Vec<String> = [
        "7f6c0c9e-6f0e-4a53-9d3f-2b1d6a2c9a10",
        "Torstr",
        "10119",
        "+49",
        "ring twice",
        "mitte",
        "anna-7",
        "service:",
        "inventory",
        "950",
        "1900",
        "52.5,",
        "13.4,",
        order,
    ]
    .map(str::to_owned)
    .into();
    for entry in history.json()["items"].as_array().expect("a history") {
        secrets.push(entry["commandId"].as_str().expect("an id").to_owned());
    }
    for secret in secrets {
        assert!(!shown.text.contains(&secret), "{secret}: {}", shown.text);
    }
    let names = ["/stages/*/at", "/courier/at"];
    insta::assert_json_snapshot!("tracking", still(shown.json(), &names));
}

#[tokio::test]
async fn the_courier_is_shown_only_on_the_way() {
    let api = Api::new().await;
    let order = on_its_way(&api).await;
    let url = link(&api, &order).await;
    let shown = tracked(&api, &url).await.json();
    assert_eq!(shown["courier"]["lat"], 52.51);
    step(&api, &order, json!({"status": "DELIVERED"})).await;
    let shown = tracked(&api, &url).await.json();
    assert_eq!(
        (&shown["status"], &shown["version"]),
        (&json!("DELIVERED"), &json!(5))
    );
    assert!(shown.get("courier").is_none(), "{shown}");
}

#[tokio::test]
async fn every_link_that_is_none_gets_the_same_answer() {
    let api = Api::new().await;
    let order = api.place().await;
    let url = link(&api, &order).await;
    let good = token(&url);
    let flipped = |at: usize| {
        let other = if good.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let of = |keys: &str, id: Uuid| {
        let url = links(keys, Arc::new(SystemClock)).url(OrderId(id));
        token(&url.expect("a link")).to_owned()
    };
    let id: Uuid = order.parse().expect("a UUID");
    let gone = api.place().await;
    let ended = link(&api, &gone).await;
    let cancelled = format!("/api/v1/orders/{gone}/cancel");
    assert_eq!(api.json("POST", &cancelled, &json!({})).await.status, 200);
    api.clock.put_forward(DAY);

    let wrong = [
        flipped(0),
        flipped(good.len() / 2),
        flipped(good.len() - 2),
        good[..good.len() - 1].to_owned(),
        good[1..].to_owned(),
        format!("{good}A"),
        format!("{good}%20"),
        good.replacen(&good[..1], &format!("%{:02X}", good.as_bytes()[0]), 1),
        of("k1:of another company", id),
        of("k9:of the tests only", id),
        // Ours, of an order that isn't there.
        of(TRACKING_KEYS, Uuid::from_u128(7)),
        token(&ended).to_owned(),
        order,
        "x".into(),
        "%ff".into(),
        "A".repeat(4_000),
    ];
    let mut answers = BTreeSet::new();
    for token in &wrong {
        for below in ["", "/events", "/events?since=1"] {
            let path = format!("/api/v1/tracking/{token}{below}");
            answers.insert(refused(&api.get(&path).await));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(tracked(&api, &url).await.status, 200);
}

#[tokio::test]
async fn a_link_ends_a_day_after_the_order() {
    let api = Api::new().await;
    let order = on_its_way(&api).await;
    let url = link(&api, &order).await;
    // However long it takes.
    api.clock.put_forward(3 * DAY);
    assert_eq!(tracked(&api, &url).await.status, 200);
    step(&api, &order, json!({"status": "DELIVERED"})).await;
    api.clock.put_forward(Duration::from_mins(24 * 60 - 1));
    assert_eq!(tracked(&api, &url).await.status, 200);
    assert_eq!(link(&api, &order).await, url);
    api.clock.put_forward(Duration::from_mins(1));
    refused(&tracked(&api, &url).await);
    let events = format!("/api/v1/tracking/{}/events", token(&url));
    let last = [("last-event-id", "5")];
    refused(&api.send("GET", &events, &last, Body::empty()).await);
    let path = format!("/api/v1/orders/{order}/tracking-link");
    let answer = api.get(&path).await;
    answer.problem(404, "tracking-link-not-found", &path);
}

#[tokio::test]
async fn links_of_an_earlier_key_go_on() {
    let (old, new) = ("k1:of the tests only", "k2:of the tests later");
    let api = Api::with_tracking_keys(&format!("{new},{old}")).await;
    let order = api.place().await;
    let id = OrderId(order.parse().expect("a UUID"));
    let url = |keys: &str| {
        let url = links(keys, Arc::new(SystemClock)).url(id);
        url.expect("a link")
    };
    assert_eq!(link(&api, &order).await, url(new));
    for keys in [old, new] {
        assert_eq!(tracked(&api, &url(keys)).await.status, 200);
    }
    refused(&tracked(&api, &url("k3:of the tests later")).await);
}

#[tokio::test]
async fn without_keys_there_are_no_links() {
    let api = Api::with_tracking_keys("").await;
    let placed = api.json("POST", "/api/v1/orders", &pizza()).await.json();
    assert!(placed.get("trackingUrl").is_none(), "{placed}");
    let order = placed["id"].as_str().expect("an id");
    let path = format!("/api/v1/orders/{order}/tracking-link");
    api.get(&path)
        .await
        .problem(404, "tracking-link-not-found", &path);
    let id = OrderId(order.parse().expect("a UUID"));
    let url = links(TRACKING_KEYS, Arc::new(SystemClock)).url(id);
    refused(&tracked(&api, &url.expect("a link")).await);
}

#[tokio::test]
async fn only_who_may_read_an_order_is_told_its_link() {
    let api = Api::with_keys().await;
    let customer = |id: u128| Role::Customer(CustomerId(Uuid::from_u128(id)));
    let ann = api.key("ann", customer(1)).await;
    let bob = api.key("bob", customer(2)).await;
    let mut body = pizza();
    body["customerId"] = json!(Uuid::from_u128(1));
    let headers = [("authorization", &*ann)];
    let placed = api.json_with("POST", "/api/v1/orders", &headers, &body);
    let placed = placed.await.json();
    let order = placed["id"].as_str().expect("an id");
    let path = format!("/api/v1/orders/{order}/tracking-link");
    let own = api.send("GET", &path, &headers, Body::empty()).await;
    assert_eq!(own.json(), json!({"trackingUrl": placed["trackingUrl"]}));
    let headers = [("authorization", &*bob)];
    let other = api.send("GET", &path, &headers, Body::empty()).await;
    other.problem(404, "order-not-found", &path);
    api.get(&path).await.problem(401, "unauthorized", &path);
}

/// Takes what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_is_in_no_log_no_audit_and_no_problem() {
    let api = Api::new().await;
    let order = api.place().await;
    let url = link(&api, &order).await;
    let token = token(&url);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let watched = tracing::subscriber::set_default(subscriber);
    let below = ["", "/events", "/", "/a/b"];
    for base in ["/api/v1/tracking", "/API/v1/tracking", "/track", "//track"] {
        for below in below {
            for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "BREW"] {
                let path = format!("{base}/{token}{below}");
                let is_stream = method == "GET" && below == "/events" && base == "/api/v1/tracking";
                if is_stream {
                    let status = api.status(method, &path, &[], Body::empty()).await;
                    assert_eq!(status, 200);
                    continue;
                }
                let answer = api.send(method, &path, &[], Body::empty()).await;
                assert!(
                    !answer.text.contains(token),
                    "{method} {path}: {}",
                    answer.text
                );
            }
        }
    }
    drop(watched);
    let log = String::from_utf8(log.0.lock().clone()).expect("UTF-8");
    assert!(log.contains("path=\"/api/v1/tracking\""), "{log}");
    assert!(log.contains("path=\"/track\""), "{log}");
    assert!(!log.contains(token), "{log}");
}
