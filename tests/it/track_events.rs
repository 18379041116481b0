//! The event stream on loopback: resuming, ending, refusing.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use trackops::api::track::routes;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::live_support::SOMEWHERE;
use crate::track_support::{PATIENCE, Server, next_event};

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
    for _ in 0..2 {
        let chunk = timeout(PATIENCE, stream.chunk()).await.expect("in time");
        assert_eq!(
            chunk.expect("comes").as_deref(),
            Some(b": keep-alive\n\n".as_slice())
        );
    }
}

#[tokio::test]
async fn connections_are_bounded_and_none_begins_on_the_way_down() {
    let server = Server::start(|limits| limits.connections_max = 1);
    let order = server.orders.place();
    let stream = reqwest::get(server.events_url(order))
        .await
        .expect("answers");
    assert_eq!(stream.status(), 200);
    let second = reqwest::get(server.events_url(order))
        .await
        .expect("answers");
    assert_eq!(second.status(), 503);
    assert_eq!(second.headers()["retry-after"], "1");
    let problem: Value = second.json().await.expect("is JSON");
    assert_eq!(problem["code"], "overloaded");
    drop(stream);
    server.all_ended().await;

    // A stopping listener takes no connection: ask the routes themselves.
    server.state.shutdown.cancel();
    let request = axum::http::Request::get(format!("/api/v1/orders/{order}/events"));
    let request = request
        .body(axum::body::Body::empty())
        .expect("is a request");
    let answer = tower::ServiceExt::oneshot(routes(server.state.clone()), request).await;
    assert_eq!(answer.expect("answers").status(), 503);
}
