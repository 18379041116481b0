//! The event stream on loopback: resuming, ending, refusing.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use trackops::model::orders_error::OrdersError;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::live::live_support::SOMEWHERE;
use crate::live::track_support::{PATIENCE, Server, next_event, routes};

#[tokio::test]
async fn a_stream_goes_on_where_it_was_and_ends_with_204() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let http = reqwest::Client::new();
    let mut text = String::new();
    let mut stream = http
        .get(server.events_url(order))
        .send()
        .await
        .expect("answers");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let (event, id, data) = next_event(&mut stream, &mut text).await;
    assert_eq!((&*event, &*id), ("snapshot", "1"));
    assert_eq!(data["order"]["status"], "PENDING");
    drop(stream);

    server.orders.advance(order, Status::Confirmed);
    server.orders.advance(order, Status::InTransit);
    let resumed = |last: &'static str| {
        http.get(server.events_url(order))
            .header("last-event-id", last)
    };
    let mut stream = resumed("1").send().await.expect("answers");
    for version in ["2", "3"] {
        let (event, id, _) = next_event(&mut stream, &mut text).await;
        assert_eq!((&*event, &*id), ("update", version));
    }
    server.orders.locate_now(order, SOMEWHERE);
    let (event, id, _) = next_event(&mut stream, &mut text).await;
    assert_eq!((&*event, &*id), ("location", ""));
    server.orders.advance(order, Status::Delivered);
    let (event, id, data) = next_event(&mut stream, &mut text).await;
    assert_eq!((&*event, &*id), ("update", "4"));
    assert_eq!(data["status"], "DELIVERED");
    // It stays open after the final version; whoever comes back with that is told to stop.
    timeout(Duration::from_millis(100), stream.chunk())
        .await
        .expect_err("is open");
    assert_eq!(resumed("4").send().await.expect("answers").status(), 204);
    assert_eq!(resumed("3").send().await.expect("answers").status(), 200);
    let since = format!("{}?since=3", server.events_url(order));
    let mut stream = http.get(since).send().await.expect("answers");
    text.clear();
    assert_eq!(next_event(&mut stream, &mut text).await.1, "4");
}

#[tokio::test]
async fn a_stream_that_cannot_be_is_a_problem_before_it_starts() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let http = reqwest::Client::new();
    let get = |url: String, last: &'static str| http.get(url).header("last-event-id", last).send();
    let since = |value| format!("{}?since={value}", server.events_url(order));
    for (url, last, status, code) in [
        (
            server.events_url(Uuid::now_v7()),
            "",
            404,
            "order-not-found",
        ),
        (server.events_url("x"), "", 400, "invalid-parameter"),
        (since("x"), "", 400, "invalid-parameter"),
        (server.events_url(order), "-1", 400, "invalid-header"),
        (
            server.events_url(order),
            "4294967296",
            400,
            "invalid-header",
        ),
        (
            format!("http://{}/api/v1/track", server.address),
            "",
            426,
            "upgrade-required",
        ),
    ] {
        let answer = get(url.clone(), last).await.expect("answers");
        assert_eq!(answer.status(), status, "{url} {last}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("is JSON");
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
    }
    assert_eq!(server.hub.watched_orders(), 0);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let server = Server::start(|limits| limits.keep_alive = Duration::from_millis(30));
    let order = server.orders.place();
    let url = format!("{}?since=1", server.events_url(order));
    let mut stream = reqwest::get(url).await.expect("answers");
    let mut next = async || {
        let chunk = timeout(PATIENCE, stream.chunk()).await.expect("in time");
        let chunk = chunk.expect("comes").expect("is open");
        String::from_utf8(chunk.to_vec()).expect("UTF-8")
    };
    assert!((1000..2000).contains(&retry_ms(&next().await)));
    for _ in 0..2 {
        assert_eq!(next().await, ": keep-alive\n\n");
    }
}

#[tokio::test]
async fn nothing_on_the_way_may_keep_a_stream_back() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let open = || reqwest::get(server.events_url(order));
    let stream = open().await.expect("answers");
    server.state.shutdown.cancel();
    let refused = ask_routes(&server, order).await;
    for headers in [stream.headers(), refused.headers()] {
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
    }
}

/// Asks the routes themselves: a stopping listener takes no connection.
async fn ask_routes(server: &Server, order: OrderId) -> axum::response::Response {
    let request = axum::http::Request::get(format!("/api/v1/orders/{order}/events"));
    let request = request
        .body(axum::body::Body::empty())
        .expect("is a request");
    tower::ServiceExt::oneshot(routes(server.state.clone()), request)
        .await
        .expect("answers")
}

/// The milliseconds of a `retry` at the beginning of `text`.
fn retry_ms(text: &str) -> u64 {
    let value = text.strip_prefix("retry: ").and_then(|text| {
        let (value, _) = text.split_once("\n\n")?;
        value.parse().ok()
    });
    value.unwrap_or_else(|| panic!("no retry: {text}"))
}

/// Checks that `text` says when to come back and why, and ends; the problem.
fn refusal(text: &str, order: OrderId, wait_ms: u64) -> Value {
    assert!((wait_ms..2 * wait_ms).contains(&retry_ms(text)), "{text}");
    let (_, event) = text.split_once("\n\n").expect("another event");
    let data = event.strip_prefix("event: problem\ndata: ");
    let data = data.and_then(|data| data.strip_suffix("\n\n"));
    let data: Value = serde_json::from_str(data.expect("a problem")).expect("JSON");
    assert_eq!(data["type"], "problem");
    assert_eq!(data["orderId"], order.to_string());
    assert_eq!(data["problem"]["status"], 503);
    let path = format!("/api/v1/orders/{order}/events");
    assert_eq!(data["problem"]["instance"], path);
    data["problem"].clone()
}

/// A browser's `EventSource` gives up for ever on any answer but this.
#[tokio::test]
async fn what_will_pass_is_an_event_and_a_time_to_come_back() {
    let server = Server::start(|limits| {
        limits.connections_max = 1;
        limits.crowd_patience = Duration::ZERO;
    });
    let order = server.orders.place();
    let open = || reqwest::get(server.events_url(order));
    let stream = open().await.expect("answers");
    assert_eq!(stream.status(), 200);
    // Full.
    let second = open().await.expect("answers");
    assert_eq!(second.status(), 200);
    let text = second.text().await.expect("it ends");
    assert_eq!(refusal(&text, order, 1000)["code"], "overloaded");
    drop(stream);
    server.until_open(0).await;

    // The order has too much to do, starts, or is set aside.
    server.orders.crowd.store(1, SeqCst);
    let text = open().await.expect("answers").text().await;
    let text = text.expect("it ends");
    assert_eq!(refusal(&text, order, 1000)["code"], "overloaded");
    for (error, code, wait_ms) in [
        (
            OrdersError::Unavailable {
                why: "this replica is starting",
                retry_after: Duration::from_secs(1),
            },
            "unavailable",
            1000,
        ),
        (OrdersError::LeaseOver, "unavailable", 1000),
        (OrdersError::Quarantined, "order-quarantined", 30_000),
    ] {
        server.orders.refuse_next(error);
        let text = open().await.expect("answers").text().await;
        let text = text.expect("it ends");
        assert_eq!(refusal(&text, order, wait_ms)["code"], code);
    }

    // A later try has its stream, which asks for no more than the usual patience.
    let mut stream = open().await.expect("answers");
    let chunk = timeout(PATIENCE, stream.chunk()).await.expect("in time");
    let chunk = chunk.expect("comes").expect("is open");
    let text = String::from_utf8(chunk.to_vec()).expect("UTF-8");
    assert!((1000..2000).contains(&retry_ms(&text)), "{text}");
    drop(stream);

    // On the way down.
    server.state.shutdown.cancel();
    let answer = ask_routes(&server, order).await;
    assert_eq!(answer.status(), 200);
    let body = axum::body::to_bytes(answer.into_body(), 4096).await;
    let text = String::from_utf8(body.expect("it ends").to_vec()).expect("UTF-8");
    assert_eq!(refusal(&text, order, 1000)["code"], "unavailable");
}

/// Not only once its subscription stands: a crowd that waits for that has no bound otherwise.
#[tokio::test]
async fn a_stream_counts_from_its_admission_on() {
    let server = Server::start(|limits| limits.connections_max = 2);
    let order = server.orders.place();
    server.orders.crowd.store(u32::MAX, SeqCst);
    let url = server.events_url(order);
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(reqwest::get(url.clone())))
        .collect();
    server.until_open(2).await;
    let third = reqwest::get(url).await.expect("answers");
    let text = third.text().await.expect("it ends");
    let problem = refusal(&text, order, 1000);
    assert_eq!(problem["detail"], "too many live connections are open");
    // Who gives up waiting leaves its place.
    for one in waiting {
        one.abort();
    }
    server.until_open(0).await;
}
