//! The WebSocket on loopback: the real hub, queues and handlers; only the actors are a stand-in.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::SinkExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use trackops::ports::live::LiveHub as _;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::live::live_support::{Follower, SOMEWHERE};
use crate::live::track_support::{PATIENCE, Server, next_event};

/// A crowd comes back at once: whoever finds no room asks again, and is told if there is none for long.
#[tokio::test]
async fn a_subscription_that_finds_no_room_is_asked_for_again() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    server.orders.crowd.store(3, SeqCst);
    let mut client = server.connect().await;
    client.subscribe(order, None).await;
    assert_eq!(client.json().await["type"], "snapshot");
    assert_eq!(server.orders.crowd.load(SeqCst), 0);

    let server = Server::start(|limits| limits.crowd_patience = Duration::from_millis(300));
    let order = server.orders.place();
    server.orders.crowd.store(u32::MAX, SeqCst);
    let mut client = server.connect().await;
    client.subscribe(order, None).await;
    let error = client.json().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["problem"]["code"], "overloaded");
}

#[tokio::test]
async fn a_socket_follows_orders_from_where_it_was() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let mut client = server.connect().await;

    client.subscribe(order, None).await;
    let snapshot = client.json().await;
    assert_eq!(snapshot["type"], "snapshot");
    assert_eq!(snapshot["orderId"], json!(order.0));
    assert_eq!(snapshot["version"], 1);
    assert_eq!(snapshot["order"]["status"], "PENDING");

    server.orders.advance(order, Status::Confirmed);
    let update = client.json().await;
    assert_eq!(update["type"], "update");
    assert_eq!(update["version"], 2);
    assert_eq!(update["previousStatus"], "PENDING");
    assert_eq!(update["status"], "CONFIRMED");

    // From the start: the first version comes from nowhere.
    client.subscribe(order, Some(0)).await;
    let first = client.json().await;
    assert_eq!(
        (&first["version"], &first["previousStatus"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(client.json().await["version"], 2);

    // Ahead of the order: put right by a snapshot.
    client.subscribe(order, Some(9)).await;
    assert_eq!(client.json().await["type"], "snapshot");

    server.orders.locate_now(order, SOMEWHERE);
    let location = client.json().await;
    assert_eq!(location["type"], "location");
    assert!(location.get("version").is_none());

    let other = server.orders.place();
    client
        .send(json!({"type": "unsubscribe", "orderId": order.0}).to_string())
        .await;
    client.subscribe(other, Some(1)).await;
    // Both are handled one after the other: once the second is there, the first is done.
    while !server.hub.is_watched(other) {
        tokio::task::yield_now().await;
    }
    server.orders.advance(order, Status::Preparing);
    server.orders.advance(other, Status::Confirmed);
    assert_eq!(client.json().await["orderId"], json!(other.0));

    drop(client);
    server.all_ended().await;
    assert_eq!(server.hub.watched_orders(), 0);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_the_socket_stays_open() {
    let server = Server::start(|limits| limits.queue.orders = 2);
    let order = server.orders.place();
    let mut client = server.connect().await;

    for (bad, status, code) in [
        ("{", 400, "malformed-json"),
        (r#"{"type":"dance"}"#, 422, "validation-failed"),
        (
            r#"{"type":"subscribe","orderId":"x"}"#,
            422,
            "validation-failed",
        ),
    ] {
        client.send(bad).await;
        let error = client.json().await;
        assert_eq!(error["type"], "error", "{bad}");
        assert_eq!(error["problem"]["status"], status, "{bad}");
        assert_eq!(error["problem"]["code"], code, "{bad}");
        for field in ["type", "title", "detail", "instance"] {
            assert!(error["problem"][field].is_string(), "{field} of {error}");
        }
    }
    client
        .0
        .send(Message::Binary(vec![1, 2].into()))
        .await
        .expect("is sent");
    assert_eq!(client.json().await["problem"]["status"], 400);

    let unknown = OrderId(Uuid::now_v7());
    client.subscribe(unknown, Some(3)).await;
    let error = client.json().await;
    assert_eq!(error["orderId"], json!(unknown.0));
    assert_eq!(error["problem"]["code"], "order-not-found");
    assert_eq!(error["problem"]["status"], 404);

    // The unknown one doesn't count; the third known one is too many; known ones may come again.
    client.is_open(order).await;
    client.is_open(server.orders.place()).await;
    let third = server.orders.place();
    client.subscribe(third, None).await;
    let error = client.json().await;
    assert_eq!(error["problem"]["code"], "too-many-subscriptions");
    assert_eq!(error["orderId"], json!(third.0));
    client.is_open(order).await;
}

#[tokio::test]
async fn a_socket_past_the_bound_is_refused() {
    let server = Server::start(|limits| limits.connections_max = 1);
    let order = server.orders.place();
    let mut only = server.connect().await;
    only.is_open(order).await;
    let ask = reqwest::Client::new()
        .get(format!("http://{}/api/v1/track", server.address))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let refused = ask.send().await.expect("answers");
    assert_eq!(refused.status(), 503);
    let wait = refused.headers()["retry-after"].to_str().expect("digits");
    assert!(["1", "2"].contains(&wait), "{wait}");
    let problem: Value = refused.json().await.expect("is JSON");
    assert_eq!(problem["code"], "overloaded");
    assert_eq!(problem["detail"], "too many live connections are open");
    only.is_open(order).await;
    // Whoever leaves makes room.
    drop(only);
    server.until_open(0).await;
    server.connect().await.is_open(order).await;
}

#[tokio::test]
async fn a_message_too_large_closes_with_1009() {
    let server = Server::start(|_| {});
    for bytes in [10 * 1024, 1024 * 1024] {
        let mut client = server.connect().await;
        // The server may close before it has taken all of it.
        let _ = client.0.send(Message::Text("x".repeat(bytes).into())).await;
        assert_eq!(client.close_code().await, Some(1009), "{bytes} bytes");
    }
    server.all_ended().await;
}

#[tokio::test]
async fn a_peer_without_pong_is_dropped_and_one_with_stays() {
    let server = Server::start(|limits| limits.ping_interval = Duration::from_millis(40));
    let order = server.orders.place();
    let mut alive = server.connect().await;
    alive.subscribe(order, None).await;
    assert_eq!(alive.json().await["type"], "snapshot");
    // Never reads, so it never answers.
    let silent = server.connect().await;
    for _ in 0..6 {
        assert!(matches!(alive.next().await, Some(Message::Ping(_))));
    }
    while server.state.connections.len() > 1 {
        assert!(matches!(alive.next().await, Some(Message::Ping(_))));
    }
    alive.is_open(order).await;
    drop((alive, silent));
    server.all_ended().await;
}

#[tokio::test]
async fn on_shutdown_sockets_close_with_1012_and_streams_end() {
    let server = Server::start(|limits| limits.write_timeout = 10 * PATIENCE);
    let order = server.orders.place();
    let mut client = server.connect().await;
    client.is_open(order).await;
    // One that reads nothing, not even the close.
    let _silent = server.connect().await;
    let mut stream = reqwest::get(server.events_url(order))
        .await
        .expect("answers");
    next_event(&mut stream, &mut String::new()).await;

    server.state.shutdown.cancel();
    assert_eq!(client.close_code().await, Some(1012));
    assert_eq!(
        timeout(PATIENCE, stream.chunk())
            .await
            .expect("in time")
            .expect("clean"),
        None
    );
    // The silent one too: by the limit of a close, as no other ends so soon.
    server.all_ended().await;
    let limit = server.state.limits.close_timeout;
    assert!(
        limit < Duration::from_secs(1),
        "well within the limit of dev"
    );
    assert_eq!(server.hub.watched_orders(), 0);
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_state_and_stays_bounded() {
    /// Of each of the two orders.
    const CHANGES: u32 = 5_000;
    let server = Server::start(|_| {});
    let orders = [server.orders.place(), server.orders.place()];
    let mut client = server.connect().await;
    let mut follows = [Follower::new(Some(1)), Follower::new(Some(1))];
    for order in orders {
        client.subscribe(order, Some(1)).await;
    }
    while server.hub.watched_orders() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..CHANGES {
        server.orders.advance(orders[0], Status::Preparing);
        server.orders.advance(orders[1], Status::Preparing);
        tokio::task::yield_now().await;
    }
    let mut messages = 0;
    let mut snapshots = 0;
    while follows.iter().any(|f| f.has != Some(CHANGES + 1)) {
        let message = client.json().await;
        messages += 1;
        snapshots += u32::from(message["type"] == "snapshot");
        let which = usize::from(message["orderId"] == json!(orders[1].0));
        follows[which].see(&message).expect("I7 holds");
    }
    assert!((1..=20).contains(&snapshots), "{snapshots} snapshots");
    // What the buffers of both kernels' ends and the queue hold, far from 10,000.
    assert!(messages < 2_000, "{messages} messages");
}

#[tokio::test]
async fn a_peer_that_never_reads_is_given_up() {
    let server = Server::start(|limits| limits.write_timeout = Duration::from_millis(200));
    let order = server.orders.place();
    let mut client = server.connect().await;
    client.subscribe(order, Some(1)).await;
    while server.hub.watched_orders() == 0 {
        tokio::task::yield_now().await;
    }
    // At the writer's pace: what comes faster is folded into one snapshot, and fills no buffer.
    for _ in 0..20_000 {
        server.orders.advance(order, Status::Preparing);
        // Not a wait for anything: it gives the writer its turn.
        tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        if server.state.connections.is_empty() {
            break;
        }
    }
    server.all_ended().await;
    assert_eq!(server.hub.watched_orders(), 0);
}

#[tokio::test]
async fn commit_to_socket_is_measured() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // All of the test runs on this thread.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let mut client = server.connect().await;
    client.is_open(order).await;
    let mut stream = reqwest::get(server.events_url(order))
        .await
        .expect("answers");
    let mut text = String::new();
    next_event(&mut stream, &mut text).await;
    server.orders.advance(order, Status::Confirmed);
    next_event(&mut stream, &mut text).await;
    assert_eq!(client.json().await["version"], 2);
    // The socket's is recorded once the frame is with the kernel; another message is after that.
    client.is_open(order).await;
    let measured = "trackops_live_push_duration_seconds_count 2\n";
    assert!(handle.render().contains(measured), "{}", handle.render());
}

#[tokio::test]
async fn all_sockets_and_streams_together_follow_so_many_orders() {
    let server = Server::start(|limits| limits.subscriptions_total_max = 2);
    let (one, other) = (server.orders.place(), server.orders.place());
    let mut first = server.connect().await;
    first.is_open(one).await;
    // The same again is no further one.
    first.is_open(one).await;
    let stream = reqwest::get(server.events_url(other)).await;
    let stream = stream.expect("answers");
    let mut second = server.connect().await;
    second.subscribe(other, None).await;
    let error = second.json().await;
    assert_eq!(error["problem"]["code"], "overloaded", "{error}");
    assert_eq!(error["problem"]["status"], 503);
    let full = reqwest::get(server.events_url(one)).await.expect("answers");
    let text = full.text().await.expect("it ends");
    assert!(text.contains("event: problem"), "{text}");
    // Who leaves makes room, and who was refused may try again.
    drop(stream);
    server.until_open(2).await;
    second.is_open(other).await;
    first
        .send(json!({"type": "unsubscribe", "orderId": one.0}).to_string())
        .await;
    first.is_open(other).await;
}
