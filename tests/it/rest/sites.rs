//! Which names a listener answers to, and what pages of other sites may do.

use axum::body::Body;
use serde_json::json;
use trackops::api::server::Limits;
use trackops::api::site_policy::SitePolicy;

use super::raw::{PATIENCE, ask, start};
use super::support::{Answer, Api, pizza};

const HOST: (&str, &str) = ("host", "localhost:8080");
const JSON: (&str, &str) = ("content-type", "application/json");
const SHOP: &str = "https://shop.example";

async fn api() -> Api {
    let policy = SitePolicy::new(&["api.example".into()], &[SHOP.into()]);
    Api::of(policy.expect("sound")).await
}

/// Sends with a `Host` that is answered.
async fn send(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[HOST], headers].concat();
    api.send_as_is(method, path, &headers, body.to_owned())
        .await
}

#[tokio::test]
async fn only_names_of_ours_are_answered() {
    let running = start(&api().await, Limits::default(), PATIENCE);
    let own = running.addr.to_string();
    for (host, status) in [
        ("localhost", "200"),
        (&*own, "200"),
        ("API.example:443", "200"),
        ("evil.example", "421"),
        ("127.0.0.1.evil.example", "421"),
    ] {
        let mut stream = running.connect().await;
        let request = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, body) = ask(&mut stream, request.as_bytes()).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{host}: {head}"
        );
        assert_eq!(
            body.contains("misdirected-request"),
            status == "421",
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let api = api().await;
    let body = pizza().to_string();
    let place = async |origin| {
        let headers = [("origin", origin), JSON];
        send(&api, "POST", "/api/v1/orders", &headers, &body).await
    };
    for foreign in ["https://evil.example", "null", "http://localhost:8081"] {
        let refused = place(foreign).await;
        refused.problem(403, "foreign-origin", "/api/v1/orders");
        assert_eq!(refused.header("access-control-allow-origin"), None);
        let socket = [
            ("origin", foreign),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
        ];
        let refused = send(&api, "GET", "/api/v1/track", &socket, "").await;
        refused.problem(403, "foreign-origin", "/api/v1/track");
    }
    for own in ["http://localhost:8080", SHOP] {
        assert_eq!(place(own).await.status, 201, "{own}");
    }
    assert_eq!(
        send(&api, "GET", "/api/v1/orders", &[], "").await.json()["items"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn a_post_that_any_page_may_send_is_refused() {
    let api = api().await;
    let path = "/admin/v1/cluster/nodes/order-b/drain";
    let refused = send(&api, "POST", path, &[], "").await;
    refused.problem(415, "unsupported-media-type", path);
    let text = [("content-type", "text/plain")];
    let refused = send(&api, "POST", path, &text, "{}").await;
    refused.problem(415, "unsupported-media-type", path);
    for asked_first in [
        JSON,
        ("idempotency-key", "k"),
        ("authorization", "Bearer x"),
    ] {
        assert_eq!(
            send(&api, "POST", path, &[asked_first], "").await.status,
            200
        );
    }
}

#[tokio::test]
async fn a_configured_page_asks_first_and_reads_the_answer() {
    let api = api().await;
    let asked = [
        ("origin", SHOP),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "content-type,if-match"),
    ];
    let allowed = send(&api, "OPTIONS", "/api/v1/orders/x/status", &asked, "").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(SHOP));
    assert!(
        allowed
            .header("access-control-allow-methods")
            .is_some_and(|list| list.contains("PUT"))
    );
    let stranger = [("origin", "https://evil.example"), asked[1]];
    let refused = send(&api, "OPTIONS", "/api/v1/orders", &stranger, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), None);
    // Errors can be read too.
    for path in ["/api/v1/orders", "/api/v1/orders/x", "/nothing"] {
        let read = send(&api, "GET", path, &[("origin", SHOP)], "").await;
        assert_eq!(
            read.header("access-control-allow-origin"),
            Some(SHOP),
            "{path}"
        );
        let shown = read
            .header("access-control-expose-headers")
            .unwrap_or_default();
        assert!(
            shown.contains("etag") && shown.contains("retry-after"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn every_path_says_what_it_takes() {
    let api = api().await;
    for (path, methods) in [
        ("/api/v1/orders", "GET,HEAD,POST,OPTIONS"),
        ("/livez", "GET,HEAD,OPTIONS"),
    ] {
        let answer = send(&api, "OPTIONS", path, &[], "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (204, Some(methods))
        );
        assert_eq!(answer.text, "");
    }
    assert_eq!(send(&api, "OPTIONS", "*", &[], "").await.status, 204);
    send(&api, "OPTIONS", "/nothing", &[], "")
        .await
        .problem(404, "not-found", "/nothing");
}

#[tokio::test]
async fn answers_are_safe_to_show() {
    let api = api().await;
    for path in ["/api/v1/openapi.json", "/nothing", "/livez"] {
        let answer = api.send_as_is("GET", path, &[HOST], Body::empty()).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
    }
    let item = json!({"onHand": 1}).to_string();
    let put = send(&api, "PUT", "/api/v1/inventory/items/A", &[JSON], &item).await;
    assert_eq!(put.header("x-content-type-options"), Some("nosniff"));
}
