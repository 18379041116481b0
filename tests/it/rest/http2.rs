//! HTTP/2 with prior knowledge, on the same port as HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::time::timeout;
use trackops::api::server::{Limits, Stopped};

use super::doubles::Next;
use super::http2_support::{Client, GOAWAY, PREFACE, frame_of, read};
use super::raw::{LIVEZ, PATIENCE, answer, ask, rest, start};
use super::support::{Api, pizza};

#[tokio::test]
async fn the_api_speaks_it_on_the_same_port() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    let json = [("content-type", "application/json")];
    let sent = client.begin("POST", "/api/v1/orders", &json, pizza().to_string());
    let placed = sent.await.expect("an answer");
    assert_eq!(placed.status(), 201);
    assert!(placed.headers().contains_key("etag"));
    let (_, body) = read(placed).await;
    let id = serde_json::from_str::<Value>(&body).expect("JSON")["id"].clone();
    let path = format!("/api/v1/orders/{}", id.as_str().expect("an id"));
    assert_eq!(client.get(&path).await.0, 200);
    for (method, path, status, code) in [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/api/v1/track", 426, "upgrade-required"),
        ("PATCH", "/livez", 405, "method-not-allowed"),
        ("FETCH", "/livez", 501, "not-implemented"),
        ("POST", "/api/v1/orders", 415, "unsupported-media-type"),
    ] {
        let answer = client.begin(method, path, &[], Body::empty()).await;
        let answer = answer.expect("an answer");
        for header in ["connection", "upgrade"] {
            assert!(!answer.headers().contains_key(header), "{path}");
        }
        let (got, body) = read(answer).await;
        assert_eq!(got, status, "{path}");
        assert!(body.contains(code), "{body}");
    }
    let head = client.begin("HEAD", "/nothing", &[], Body::empty()).await;
    assert_eq!(read(head.expect("an answer")).await, (404, String::new()));
    // The two names of one request agree.
    let other = client.begin("GET", "/livez", &[("host", "y")], Body::empty());
    assert_eq!(read(other.await.expect("an answer")).await.0, 400);

    let mut old = running.connect().await;
    let (head, _) = ask(&mut old, LIVEZ).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

/// A handler that doesn't want the body lets the others on the connection go on.
#[tokio::test]
async fn an_unwanted_body_is_stopped_and_the_connection_goes_on() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1024])));
    let json = [("content-type", "application/json")];
    let sent = client.begin("POST", "/api/v1/orders", &json, Body::from_stream(endless));
    let answer = timeout(PATIENCE, sent).await.expect("in time");
    let (status, body) = read(answer.expect("an answer")).await;
    assert_eq!(status, 413, "{body}");
    assert_eq!(client.get("/livez").await.0, 200);
}

#[tokio::test]
async fn an_order_is_followed_by_a_stream() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}/events");
    let sent = client.begin("GET", &path, &[], Body::empty());
    let mut events = sent.await.expect("an answer").into_body();
    let mut seen = String::new();
    let mut until = async |text: &str| {
        while !seen.contains(text) {
            let frame = timeout(PATIENCE, events.frame()).await.expect("in time");
            let frame = frame.expect("it stays open").expect("sound");
            let data = frame.into_data().expect("data");
            seen.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    };
    until("event: snapshot").await;
    let reason = serde_json::json!({ "reason": "late" });
    let cancel = format!("/api/v1/orders/{id}/cancel");
    assert_eq!(api.json("POST", &cancel, &reason).await.status, 200);
    until("CANCELLED").await;
}

#[tokio::test]
async fn it_stops_in_good_order() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let idle = Client::connect(&running).await;
    assert_eq!(idle.get("/livez").await.0, 200);
    let mut fresh = running.connect().await;
    fresh.write_all(PREFACE).await.expect("sent");

    let go_on = Arc::new(Notify::new());
    api.orders.next(Next::Wait(Arc::clone(&go_on)));
    let busy = Client::connect(&running).await;
    let json = [("content-type", "application/json")];
    let placing = busy.begin("POST", "/api/v1/orders", &json, pizza().to_string());
    let placing = tokio::spawn(placing);
    api.orders.taken().await;

    running.stop.cancel();
    idle.over().await;
    // The client that has asked nothing is told to leave.
    assert!(frame_of(&mut fresh, GOAWAY).await.is_some());
    drop(fresh);
    assert!(
        !running.ended.is_finished(),
        "it waits for the answer under way"
    );
    go_on.notify_one();
    let answer = timeout(PATIENCE, placing).await.expect("in time");
    let answer = answer.expect("no panic").expect("an answer");
    assert_eq!(read(answer).await.0, 201);
    busy.over().await;
    assert_eq!(running.ended().await, Stopped { cut: 0 });
}

#[tokio::test]
async fn who_comes_just_before_the_stop_is_answered() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    running.stop.cancel();
    // Not longer than the server waits: the client would see that it shall go, and send nothing.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(client.get("/livez").await.0, 200);
    client.over().await;
    assert_eq!(running.ended().await, Stopped { cut: 0 });
}

/// What `Connection: close` is in HTTP/1.1.
#[tokio::test]
async fn a_client_is_told_to_leave_once_the_end_is_near() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let used = Client::connect(&running).await;
    assert_eq!(used.get("/livez").await.0, 200);
    running.closing.cancel();
    used.over().await;
    let fresh = Client::connect(&running).await;
    assert_eq!(fresh.get("/livez").await.0, 200);
    fresh.over().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), Duration::from_millis(400));
    api.orders.next(Next::Wait(Arc::new(Notify::new())));
    let client = Client::connect(&running).await;
    let path = "/api/v1/orders/0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f";
    let stuck = client.begin("GET", path, &[], Body::empty());
    let stuck = tokio::spawn(stuck);
    api.orders.taken().await;
    running.stop.cancel();
    let failed = timeout(PATIENCE, stuck).await.expect("in time");
    assert!(failed.expect("no panic").is_err(), "it was cut");
    assert_eq!(running.ended().await, Stopped { cut: 1 });
}

#[tokio::test]
async fn what_only_begins_like_it_is_http_1() {
    let api = Api::new().await;
    let limits = Limits {
        head_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    // Byte by byte, with the first two of the preface.
    let mut slow = running.connect().await;
    let put = b"PROPFIND /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for byte in put {
        slow.write_all(&[*byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    assert!(answer(&mut slow).await.0.starts_with("http/1.1 501"));
    for garbage in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRx\r\n\r\n",
    ] {
        let mut stream = running.connect().await;
        let (head, _) = ask(&mut stream, garbage).await;
        assert!(
            head.starts_with("http/1.1 4") || head.starts_with("http/1.1 5"),
            "{head}"
        );
    }
    // A part of it that stays alone is a slow head.
    let mut part = running.connect().await;
    part.write_all(&PREFACE[..10]).await.expect("sent");
    let told = rest(&mut part).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    // After the preface only frames are understood.
    let mut mixed = running.connect().await;
    let bytes = [&PREFACE[..24], LIVEZ].concat();
    mixed.write_all(&bytes).await.expect("sent");
    assert!(frame_of(&mut mixed, GOAWAY).await.is_some());
}
