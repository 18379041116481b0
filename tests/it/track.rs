//! Live tracking over real sockets on loopback: the real hub, queues and handlers; only the actors
//! are a stand-in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use trackops::api::track::{Limits, TrackState, routes};
use trackops::live::hub::Hub;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::live_support::{Follower, SOMEWHERE, TestOrders};

/// Longer than anything here takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// Small, so that the kernel's buffers don't hide a slow reader.
const KERNEL_BUFFER_BYTES: u32 = 8 * 1024;

struct Server {
    address: SocketAddr,
    hub: Arc<Hub>,
    orders: Arc<TestOrders>,
    state: TrackState,
}

impl Server {
    fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let hub = Hub::new();
        let orders = TestOrders::new(Arc::clone(&hub));
        let shutdown = CancellationToken::new();
        let mut state = TrackState::new(
            Arc::clone(&orders) as _,
            Arc::clone(&hub) as _,
            shutdown.clone(),
        );
        let mut limits = *state.limits;
        change(&mut limits);
        state.limits = Arc::new(limits);
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_send_buffer_size(KERNEL_BUFFER_BYTES)
            .expect("is set");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("binds");
        let listener = socket.listen(128).expect("listens");
        let address = listener.local_addr().expect("is bound");
        let service = axum::serve(listener, routes(state.clone()))
            .with_graceful_shutdown(shutdown.cancelled_owned());
        tokio::spawn(service.into_future());
        Self {
            address,
            hub,
            orders,
            state,
        }
    }

    async fn connect(&self) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(KERNEL_BUFFER_BYTES)
            .expect("is set");
        let stream = socket.connect(self.address).await.expect("connects");
        let url = format!("ws://{}/api/v1/track", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, stream)
            .await
            .expect("is upgraded");
        Client(socket)
    }

    fn events_url(&self, order: impl std::fmt::Display) -> String {
        format!("http://{}/api/v1/orders/{order}/events", self.address)
    }

    /// Waits until every socket and stream has ended.
    async fn all_ended(&self) {
        self.state.connections.close();
        timeout(PATIENCE, self.state.connections.wait())
            .await
            .expect("connections end");
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn send(&mut self, text: impl Into<String>) {
        let message = Message::Text(text.into().into());
        self.0.send(message).await.expect("is sent");
    }

    async fn subscribe(&mut self, order: OrderId, since: Option<u32>) {
        let mut message = json!({"type": "subscribe", "orderId": order.0});
        if let Some(since) = since {
            message["since"] = since.into();
        }
        self.send(message.to_string()).await;
    }

    async fn next(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.0.next()).await.expect("in time");
        next.and_then(Result::ok)
    }

    async fn json(&mut self) -> Value {
        loop {
            match self.next().await.expect("is open") {
                Message::Text(text) => return serde_json::from_str(&text).expect("is JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }

    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.next().await? {
                Message::Close(frame) => return frame.map(|f| CloseCode::into(f.code)),
                _ => {}
            }
        }
    }

    async fn is_open(&mut self, order: OrderId) {
        self.subscribe(order, None).await;
        assert_eq!(self.json().await["type"], "snapshot");
    }
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
    while !trackops::ports::live::LiveHub::is_watched(&*server.hub, other) {
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
async fn a_message_too_large_closes_with_1009() {
    let server = Server::start(|_| {});
    for bytes in [5 * 1024, 1024 * 1024] {
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
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let mut client = server.connect().await;
    client.is_open(order).await;
    // One that reads nothing, not even the close.
    let _silent = server.connect().await;
    let mut stream = reqwest::get(server.events_url(order))
        .await
        .expect("answers");
    assert!(stream.chunk().await.expect("comes").is_some());

    server.state.shutdown.cancel();
    assert_eq!(client.close_code().await, Some(1012));
    assert_eq!(
        timeout(PATIENCE, stream.chunk())
            .await
            .expect("in time")
            .expect("clean"),
        None
    );
    let started = std::time::Instant::now();
    server.all_ended().await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "the limit of dev"
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
    for _ in 0..5_000 {
        server.orders.advance(order, Status::Preparing);
        tokio::task::yield_now().await;
    }
    server.all_ended().await;
    assert_eq!(server.hub.watched_orders(), 0);
}

/// One event as `(event, id, data)`.
async fn next_event(stream: &mut reqwest::Response, text: &mut String) -> (String, String, Value) {
    loop {
        if let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().to_owned()
            };
            if event.starts_with(':') {
                continue;
            }
            let data = serde_json::from_str(&field("data: ")).expect("is JSON");
            return (field("event: "), field("id: "), data);
        }
        let chunk = timeout(PATIENCE, stream.chunk()).await.expect("in time");
        let chunk = chunk.expect("comes").expect("is open");
        text.push_str(std::str::from_utf8(&chunk).expect("is UTF-8"));
    }
}

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
