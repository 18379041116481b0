//! The bounds of HTTP/2: what HTTP/1.1 has for a connection, for its streams too.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::Builder;
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};
use trackops::api::server::Limits;

use super::http2_support::{
    Client, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, encoded, frame_of, get_livez, read,
};
use super::raw::{LIVEZ, PATIENCE, answer, ask, start};
use super::support::Api;

#[tokio::test]
async fn many_streams_are_answered_at_once_and_more_wait() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}/events");
    let streams = join_all((0..128).map(|_| client.begin("GET", &path, &[], Body::empty())));
    let mut streams = timeout(PATIENCE, streams).await.expect("all at once");
    let more = client.begin("GET", "/livez", &[], Body::empty());
    let mut more = tokio::spawn(more);
    let early = timeout(Duration::from_millis(200), &mut more).await;
    assert!(early.is_err(), "128 are open");
    drop(streams.pop());
    let answer = timeout(PATIENCE, more).await.expect("in time");
    let answer = answer.expect("no panic").expect("an answer");
    assert_eq!(read(answer).await.0, 200);

    // Other connections have streams of their own.
    let mut one_more = running.connect().await;
    assert!(ask(&mut one_more, LIVEZ).await.0.contains(" 200 "));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let api = Api::new().await;
    let limits = Limits {
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let busy = Client::connect(&running).await;
    let id = api.place().await;
    let path = format!("/api/v1/orders/{id}/events");
    let following = busy.begin("GET", &path, &[], Body::empty()).await;
    let following = following.expect("an answer");
    let idle = Client::connect(&running).await;
    assert_eq!(idle.get("/livez").await.0, 200);
    let mut silent = running.connect().await;
    silent.write_all(PREFACE).await.expect("sent");
    idle.over().await;
    assert!(frame_of(&mut silent, GOAWAY).await.is_some());
    assert!(!busy.ended.is_finished(), "it follows an order");
    drop(following);
    busy.over().await;
}

/// Nobody answers the pings of a peer that is gone; the same ends a head that never ends, which holds the
/// answer up.
#[tokio::test]
async fn a_peer_that_is_gone_and_a_slow_head_are_cut() {
    let api = Api::new().await;
    let limits = Limits {
        connections_max: 1,
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut silent = running.connect().await;
    silent.write_all(PREFACE).await.expect("sent");
    assert!(frame_of(&mut silent, PING).await.is_some());
    let mut next = running.connect().await;
    assert!(
        ask(&mut next, LIVEZ).await.0.contains(" 200 "),
        "its place is free"
    );
    drop((silent, next));

    let mut slow = running.connect().await;
    slow.write_all(PREFACE).await.expect("sent");
    // A head whose end doesn't come.
    let begun = encoded(HEADERS, 0x1, 1, b"\x82\x86\x04\x06/livez");
    slow.write_all(&begun).await.expect("sent");
    let mut next = running.connect().await;
    assert!(
        ask(&mut next, LIVEZ).await.0.contains(" 200 "),
        "its place is free"
    );
    drop(slow);
}

/// A client that has the connection read, but never has room for the answer of one stream.
#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_cut_alone() {
    let api = Api::new().await;
    let limits = Limits {
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1024);
    let client = Client::of(&running, &builder).await;
    let begun = Instant::now();
    let path = "/api/v1/openapi.json";
    let sent = client.begin("GET", path, &[], Body::empty()).await;
    let mut body = sent.expect("an answer").into_body();
    // Not read, so its window stays closed; the others have windows of their own.
    while begun.elapsed() < Duration::from_secs(1) {
        assert_eq!(client.get("/livez").await.0, 200);
    }
    let mut taken = 0;
    let ended = loop {
        match timeout(PATIENCE, body.frame()).await.expect("in time") {
            Some(Ok(frame)) => taken += frame.data_ref().map_or(0, Bytes::len),
            other => break other,
        }
    };
    assert!(matches!(ended, Some(Err(_))), "it was cut after {taken}");
    assert_eq!(client.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let api = Api::new().await;
    let limits = Limits {
        connections_max: 1,
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut deaf = running.connect().await;
    // Windows as large as they get, so that only the socket holds anything back.
    let settings = encoded(4, 0, 0, b"\0\x04\x7f\xff\xff\xff");
    let window = encoded(8, 0, 0, b"\x7f\0\0\0");
    deaf.write_all(&[PREFACE, &settings, &window].concat())
        .await
        .expect("sent");
    let block = b"\x82\x86\x04\x14/api/v1/openapi.json\x01\x01x";
    for id in (1..400).step_by(2) {
        // It may be cut before it has asked for everything.
        if deaf
            .write_all(&encoded(HEADERS, 0x5, id, block))
            .await
            .is_err()
        {
            break;
        }
    }
    let mut next = running.connect().await;
    let (head, _) = ask(&mut next, LIVEZ).await;
    assert!(head.starts_with("http/1.1 200"), "its place is free again");
    drop(deaf);
}

#[tokio::test]
async fn connections_are_counted_whichever_they_speak() {
    let api = Api::new().await;
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let first = Client::connect(&running).await;
    assert_eq!(first.get("/livez").await.0, 200);
    let mut second = running.connect().await;
    second.write_all(LIVEZ).await.expect("sent");
    let unanswered = timeout(Duration::from_millis(200), second.readable()).await;
    assert!(unanswered.is_err(), "the bound is one connection");
    drop(first);
    assert!(answer(&mut second).await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_a_431() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let client = Client::connect(&running).await;
    let large = "x".repeat(64 * 1024);
    let headers = [("x-large", &*large)];
    let sent = client.begin("GET", "/livez", &headers, Body::empty()).await;
    assert!(sent.is_err() || sent.is_ok_and(|answer| answer.status() == 431));
    let large = "x".repeat(60 * 1024);
    let client = Client::connect(&running).await;
    let headers = [("x-large", &*large)];
    let sent = client.begin("GET", "/livez", &headers, Body::empty()).await;
    assert_eq!(sent.expect("an answer").status(), 200);
}

/// "Rapid reset": streams that are taken back as soon as they are begun.
#[tokio::test]
async fn who_resets_without_end_is_sent_away() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let mut attacker = running.connect().await;
    attacker.write_all(PREFACE).await.expect("sent");
    let mut flood = Vec::new();
    for id in (1..2000).step_by(2) {
        flood.extend(get_livez(id));
        flood.extend(encoded(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    // It may be sent away before it has sent everything.
    drop(attacker.write_all(&flood).await);
    let told = frame_of(&mut attacker, GOAWAY).await.expect("a GOAWAY");
    // ENHANCE_YOUR_CALM
    assert_eq!(told[4..8], 11_u32.to_be_bytes());
    let mut next = running.connect().await;
    assert!(ask(&mut next, LIVEZ).await.0.contains(" 200 "));
}
