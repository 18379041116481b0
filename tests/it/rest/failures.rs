//! What a client can tell an operator of a request that failed: its trace, and where the problem's page is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use trackops::api::client_address::Ends;
use trackops::api::problem_code::Code;
use trackops::api::router;
use trackops::api::served::Served;
use trackops::api::service::ApiService;
use trackops::api::site_policy::SitePolicy;
use trackops::auth::Auth;
use trackops::auth::audit::AuditLog;
use trackops::model::orders_error::OrdersError;
use trackops::ports::clock::SystemClock;

use super::doubles::Next;
use super::support::{Api, pizza};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_problem_names_the_trace_of_its_request() {
    let api = Api::new().await;
    let sent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let sent = [("traceparent", &*sent)];
    let nowhere = api.send("GET", "/nowhere", &sent, Body::empty()).await;
    assert_eq!(nowhere.json()["traceId"], TRACE);
    let draft = Body::from("{}");
    let refused = api.send("POST", "/api/v1/orders", &sent, draft).await;
    assert_eq!(refused.json()["traceId"], TRACE);
    api.orders.next(Next::Fail(OrdersError::Restarted));
    let failed = api
        .json_with("POST", "/api/v1/orders", &sent, &pizza())
        .await;
    assert_eq!(
        (failed.status.as_u16(), &failed.json()["traceId"]),
        (503, &TRACE.into())
    );
    api.orders.next(Next::Panic);
    let failed = api
        .json_with("POST", "/api/v1/orders", &sent, &pizza())
        .await;
    assert_eq!(
        (failed.status.as_u16(), &failed.json()["traceId"]),
        (500, &TRACE.into())
    );

    // Without one, or with one that isn't sound, each request has its own.
    let broken = [("traceparent", "00-0-0-01")];
    let mut traces = BTreeSet::new();
    for headers in [&[][..], &[], &broken] {
        let answer = api.send("GET", "/nowhere", headers, Body::empty()).await;
        let trace = answer.json()["traceId"].as_str().map(str::to_owned);
        assert!(traces.insert(trace.expect("a trace")));
    }
}

#[tokio::test]
async fn the_type_is_absolute_where_a_base_is_configured() {
    let any_host = SitePolicy::new(&["*".to_owned()], &[]).expect("it stands for every name");
    let nobody_asks = Auth::open(AuditLog::none(Arc::new(SystemClock)));
    let routes = router::public(Served::default(), true, false);
    let service = ApiService::new(routes, any_host, nobody_asks);
    for (base, kind) in [
        ("", "/problems/not-found"),
        (
            "https://api.example",
            "https://api.example/problems/not-found",
        ),
        (
            "https://api.example/v/",
            "https://api.example/v/problems/not-found",
        ),
    ] {
        let service = service.clone().with_problem_pages_at(base);
        let request = Request::get("/nowhere").header("host", "x");
        let request = request.body(Body::empty()).expect("a request");
        let answer = service.handle(request, Ends::default()).await.into_body();
        let body = answer.collect().await.expect("a body").to_bytes();
        let problem: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["type"], kind);
    }
}

#[tokio::test]
async fn a_browser_gets_the_pages_of_problems_as_html() {
    let api = Api::new().await;
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let index = api.send("GET", "/problems", &browser, Body::empty()).await;
    assert_eq!(index.status, 200);
    assert_eq!(
        index.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let plain = api.get("/problems").await;
    assert_eq!(
        plain.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    for code in Code::ALL {
        let facts = code.facts();
        let path = format!("/problems/{}", facts.code);
        assert!(
            index.text.contains(&format!("<a href=\"{path}\">")),
            "{path}"
        );
        assert!(plain.text.contains(&format!("]({path})")), "{path}");
        let page = api.send("GET", &path, &browser, Body::empty()).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("vary"), Some("accept"), "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(page.text.starts_with("<!DOCTYPE html>"), "{}", page.text);
        assert!(page.text.contains(&format!("<code>{}</code>", facts.code)));
        let (html, markdown) = (page.header("etag"), api.get(&path).await);
        assert_ne!(html, markdown.header("etag"), "{path}");
    }
}
