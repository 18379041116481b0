//! How much one caller may ask: what is counted, by whom, and what is said of it.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;
use trackops::api::problem_code::Code;
use trackops::config::{Rate, Rates};
use trackops_domain::access::Role;
use trackops_domain::ids::CustomerId;
use uuid::Uuid;

use super::support::{Answer, Api, pizza};

/// So many at once, and one more each minute: none comes back within a test.
fn rate(burst: u32) -> Rate {
    Rate {
        count: 1,
        period_s: 60,
        burst,
    }
}

fn each(burst: u32) -> Rates {
    let rate = Some(rate(burst));
    Rates {
        place: rate,
        write: rate,
        read: rate,
        subscribe: rate,
        positions: rate,
    }
}

fn reads(burst: u32) -> Rates {
    Rates {
        read: Some(rate(burst)),
        ..Rates::default()
    }
}

fn peer(text: &str) -> IpAddr {
    text.parse().expect(text)
}

async fn get(api: &Api, path: &str, headers: &[(&str, &str)]) -> Answer {
    api.send("GET", path, headers, Body::empty()).await
}

fn over(answer: &Answer, class: &str, path: &str) {
    let problem = answer.problem(429, "rate-limited", path);
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains(class), "{detail}");
    let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
    assert!(
        wait.is_some_and(|it: u64| (1..=60).contains(&it)),
        "{wait:?}"
    );
    let policy = format!("\"{class}\";q=1;w=60");
    assert_eq!(answer.header("ratelimit-policy"), Some(policy.as_str()));
    let field = answer.header("ratelimit").expect("where it stands");
    assert!(field.starts_with(&format!("\"{class}\";r=0;t=")), "{field}");
}

#[tokio::test]
async fn a_customer_over_its_limit_limits_nobody_else() {
    let api = Api::with_keys().await.limited(each(2), 0);
    let customer = |id| Role::Customer(CustomerId(Uuid::from_u128(id)));
    let ann = api.key("ann", customer(1)).await;
    let bob = api.key("bob", customer(2)).await;
    let path = "/api/v1/orders";
    for left in [1, 0] {
        let answer = get(&api, path, &[("authorization", &ann)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"read\";q=1;w=60"));
        let field = answer.header("ratelimit").expect("where it stands");
        let expected = format!("\"read\";r={left};t={}", 60 * (2 - left));
        assert_eq!(field, expected);
    }
    over(
        &get(&api, path, &[("authorization", &ann)]).await,
        "read",
        path,
    );
    // The other classes are others.
    let headers = [("authorization", ann.as_str())];
    let mut order = pizza();
    order
        .as_object_mut()
        .expect("an object")
        .remove("customerId");
    for status in [201, 201, 429] {
        let placed = api.json_with("POST", path, &headers, &order).await;
        assert_eq!(placed.status, status, "{}", placed.text);
    }
    let answer = get(&api, path, &[("authorization", &bob)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Services have limits of their own: here none.
    let service = api.key("shop", Role::Service).await;
    for _ in 0..5 {
        let answer = get(&api, path, &[("authorization", &service)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("ratelimit")),
            (200, None)
        );
    }
}

#[tokio::test]
async fn a_spoofed_address_is_no_way_round() {
    let mut api = Api::new().await.limited(reads(2), 0);
    api.peer = Some(peer("192.0.2.7"));
    let path = "/api/v1/orders";
    let mut statuses = Vec::new();
    for client in ["6.6.6.1", "6.6.6.2", "6.6.6.3"] {
        let answer = get(&api, path, &[("x-forwarded-for", client)]).await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    api.peer = Some(peer("192.0.2.8"));
    assert_eq!(get(&api, path, &[]).await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_the_clients_are_apart() {
    let mut api = Api::new().await.limited(reads(1), 1);
    api.peer = Some(peer("10.0.0.1"));
    let path = "/api/v1/orders";
    for (said, status) in [
        ("192.0.2.7", 200),
        ("6.6.6.6, 192.0.2.7", 429),
        ("192.0.2.8", 200),
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2:ffff::9", 429),
        ("2001:db8:1:3::1", 200),
        ("::ffff:192.0.2.8", 429),
        // Unreadable: the proxy's own.
        ("nobody", 200),
        ("", 429),
    ] {
        let answer = get(&api, path, &[("x-forwarded-for", said)]).await;
        assert_eq!(answer.status, status, "{said}");
    }
}

#[tokio::test]
async fn guesses_at_keys_and_links_are_counted_by_address() {
    let mut api = Api::with_keys().await.limited(reads(3), 0);
    api.peer = Some(peer("192.0.2.7"));
    let service = api.key("shop", Role::Service).await;
    let path = "/api/v1/orders";
    // Known, and in memory from now on.
    let known = [("authorization", service.as_str())];
    assert_eq!(get(&api, path, &known).await.status, 200);
    for status in [401, 401, 401, 429, 429] {
        let guess = format!("Bearer tk_{:016x}_{}", rand_id(), "A".repeat(43));
        let answer = get(&api, path, &[("authorization", &guess)]).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    over(&get(&api, path, &[]).await, "read", path);
    assert_eq!(
        get(&api, path, &known).await.status,
        200,
        "it isn't looked up"
    );
    // A link is as good as a guess.
    let answer = get(&api, "/api/v1/tracking/none", &[]).await;
    over(&answer, "read", "/api/v1/tracking");
    api.peer = Some(peer("192.0.2.8"));
    for status in [404, 404, 404, 429] {
        let answer = get(&api, "/api/v1/tracking/none", &[]).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

/// Also where there is no route, or one that has no limit: each of them was looked up.
#[tokio::test]
async fn a_guess_counts_wherever_it_is_made() {
    let mut api = Api::with_keys().await.limited(reads(3), 0);
    api.peer = Some(peer("192.0.2.7"));
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("PATCH", "/api/v1/orders", 405),
        ("GET", "/admin/v1/keys", 401),
        ("GET", "/admin/v1/keys", 429),
        ("GET", "/api/v1/orders", 429),
    ] {
        let guess = format!("Bearer tk_{:016x}_{}", rand_id(), "A".repeat(43));
        let guess = [("authorization", guess.as_str())];
        let answer = api.send(method, path, &guess, Body::empty()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
}

fn rand_id() -> u64 {
    let bytes = Uuid::new_v4().into_bytes();
    u64::from_be_bytes(bytes[..8].try_into().expect("eight"))
}

/// What each operation of the document counts as; the others are for operations, or say how the process is.
fn class(operation: &str) -> Option<&'static str> {
    let (method, path) = operation.split_once(' ').expect("two words");
    match path {
        path if path.starts_with("/admin/") => None,
        "/livez" | "/readyz" | "/startupz" | "/metrics" => None,
        path if path.ends_with("/events") || path.ends_with("/track") => Some("subscribe"),
        path if path.ends_with("/location") => Some("positions"),
        "/api/v1/orders" if method == "POST" => Some("place"),
        _ if method == "GET" => Some("read"),
        _ => Some("write"),
    }
}

#[tokio::test]
async fn every_public_route_has_its_class() {
    let api = Api::new().await.limited(each(1000), 0);
    let document = get(&api, "/api/v1/openapi.json", &[]).await.json();
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let method = method.to_uppercase();
            let name = format!("{method} {path}");
            let class = class(&name);
            let is_documented = operation["responses"].get("429").is_some();
            // A guess at a key is refused at every route that asks for one.
            let needs_caller = path.starts_with("/admin/");
            assert_eq!(is_documented, class.is_some() || needs_caller, "{name}");
            let asked = path
                .replace("{topic}/{partition}/{offset}", "t/0/0")
                .replace("{n}", "0")
                .replace("{sku}", "A");
            let asked = asked.replace(['{', '}'], "");
            let headers = [("host", "x"), ("content-type", "application/json")];
            let answer = api.fields(&method, &asked, &headers).await;
            let told = answer.and_then(|field| field.split('"').nth(1).map(str::to_owned));
            assert_eq!(told.as_deref(), class, "{name}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
    for page in ["/", "/docs/", "/problems/not-found"] {
        let told = api.fields("GET", page, &[("host", "x")]).await;
        assert!(told.is_some_and(|it| it.starts_with("\"read\"")), "{page}");
    }
}

#[tokio::test]
async fn a_head_costs_what_the_whole_does_and_a_405_nothing() {
    let api = Api::new().await.limited(reads(1), 0);
    let path = "/api/v1/orders";
    let head = api.send("HEAD", path, &[], Body::empty()).await;
    assert_eq!(head.status, 200);
    let answer = api.send("HEAD", path, &[], Body::empty()).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let answer = api.send("DELETE", path, &[], Body::empty()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("ratelimit")),
        (405, None)
    );
    let answer = api.send("OPTIONS", path, &[], Body::empty()).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn without_limits_nothing_is_said() {
    let api = Api::new().await;
    for _ in 0..50 {
        let answer = api.json("POST", "/api/v1/orders", &json!({})).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.header("ratelimit"), None);
    }
    let facts = Code::RateLimited.facts();
    assert_eq!(facts.status, StatusCode::TOO_MANY_REQUESTS);
}
