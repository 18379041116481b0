//! Live streams from a scripted server that loses connections, repeats messages and leaves gaps.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};
use uuid::Uuid;

use super::server::{ID, view};
use crate::live::{LiveEvent, LiveMessage, LiveStream, ORDERS_MAX};
use crate::{Client, Error, RetryPolicy};

struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        Self { listener, url }
    }

    /// The next connection and its first subscription.
    async fn accept(&self) -> (WebSocketStream<TcpStream>, Value) {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        let mut socket = accept_async(stream).await.expect("an upgrade");
        let subscription = next(&mut socket).await.expect("a subscription");
        (socket, subscription)
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, message: Value) {
    let text = Message::text(message.to_string());
    socket.send(text).await.expect("sent");
}

fn update(version: u32, status: &str) -> Value {
    json!({"type": "update", "orderId": ID, "version": version, "previousStatus": "PENDING",
        "status": status, "at": "2026-01-31T12:00:00.000Z", "by": "test"})
}

/// What a stream told: versions, and what became of the connection.
async fn told(mut stream: LiveStream) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = stream.next().await {
        told.push(match event {
            Ok(LiveEvent::Message { message, .. }) => match message {
                LiveMessage::Update(update) => format!("v{}", update.version),
                LiveMessage::Snapshot { version, order, .. } => {
                    assert_eq!(order.content.items.len(), 1);
                    format!("={version}")
                }
                other => format!("{other:?}"),
            },
            Ok(LiveEvent::Lost { cause }) => cause,
            Ok(LiveEvent::StillLost(_)) => continue,
            Ok(LiveEvent::Reconnected) => "back".into(),
            Ok(LiveEvent::Refused { problem, .. }) => problem.code,
            Err(error) => error.to_string(),
        });
    }
    told
}

async fn both<A, B>(client: impl Future<Output = A>, script: impl Future<Output = B>) -> A {
    let both = async { tokio::join!(client, script) };
    timeout(Duration::from_secs(10), both)
        .await
        .expect("both end")
        .0
}

fn id() -> Uuid {
    ID.parse().expect("an id")
}

#[tokio::test]
async fn versions_come_once_and_in_order_over_lost_connections() {
    let server = Server::start().await;
    let client = Client::new(&server.url).expect("a client");
    let following = async {
        let live = client.live().order(id(), None).until_final(true);
        told(live.connect().await.expect("connected")).await
    };
    let script = async {
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(
            subscribe,
            json!({"type": "subscribe", "orderId": ID, "since": null})
        );
        let snapshot = json!({"type": "snapshot", "orderId": ID, "version": 1,
            "order": view("PENDING", 1)});
        send(&mut socket, snapshot).await;
        send(&mut socket, json!({"type": "confetti", "n": 1})).await;
        send(&mut socket, update(2, "CONFIRMED")).await;
        socket.close(None).await.expect("closed");
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], 2);
        send(&mut socket, update(2, "CONFIRMED")).await;
        send(&mut socket, update(3, "PREPARING")).await;
        send(&mut socket, update(5, "DELIVERED")).await;
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], 3);
        send(&mut socket, update(4, "IN_TRANSIT")).await;
        send(&mut socket, update(5, "DELIVERED")).await;
        assert_eq!(next(&mut socket).await, None, "the client takes leave");
    };
    let told = both(following, script).await;
    assert_eq!(
        told,
        [
            "=1",
            "v2",
            "the server closed the connection",
            "back",
            "v3",
            "version 4 is missing",
            "back",
            "v4",
            "v5"
        ]
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_an_unknown_order_is_left() {
    let problem = |status: u16, code: &str| {
        json!({"type": "error", "orderId": ID,
            "problem": {"title": "T", "detail": "D", "status": status, "code": code}})
    };
    let server = Server::start().await;
    let client = Client::new(&server.url).expect("a client");
    let following = async {
        let live = client.live().order(id(), Some(0));
        told(live.connect().await.expect("connected")).await
    };
    let script = async {
        let (mut socket, _) = server.accept().await;
        send(&mut socket, problem(503, "overloaded")).await;
        let (mut socket, _) = server.accept().await;
        send(&mut socket, problem(404, "order-not-found")).await;
        socket
    };
    let told = both(following, script).await;
    assert_eq!(told, ["T: D", "back", "order-not-found"]);
}

#[tokio::test]
async fn a_policy_ends_the_attempts() {
    let server = Server::start().await;
    let client = Client::new(&server.url).expect("a client");
    let policy = RetryPolicy {
        attempts_max: 3,
        pause_first: Duration::from_millis(1),
        ..RetryPolicy::standard()
    };
    let following = async {
        let live = client.live().order(id(), Some(0)).reconnect(policy);
        let mut stream = live.connect().await.expect("connected");
        let lost = stream.next().await;
        assert!(matches!(lost, Some(Ok(LiveEvent::Lost { .. }))), "{lost:?}");
        let still = stream.next().await;
        assert!(
            matches!(still, Some(Ok(LiveEvent::StillLost(_)))),
            "{still:?}"
        );
        let end = stream.next().await;
        assert!(
            matches!(
                end,
                Some(Err(Error::NoAnswer {
                    was_sent: false,
                    ..
                }))
            ),
            "{end:?}"
        );
        assert!(stream.next().await.is_none());
    };
    let Server { listener, url } = server;
    let script = async {
        let server = Server { listener, url };
        drop(server.accept().await);
    };
    both(following, script).await;
}

#[tokio::test]
async fn a_reader_that_is_dropped_again_and_again_misses_nothing() {
    let server = Server::start().await;
    let client = Client::new(&server.url).expect("a client");
    let following = async {
        let live = client.live().order(id(), Some(0)).until_final(true);
        let mut stream = live.connect().await.expect("connected");
        let mut versions = Vec::new();
        loop {
            // Each turn drops the reader at another point.
            let event = tokio::select! {
                biased;
                event = stream.next() => event,
                () = tokio::task::yield_now() => continue,
            };
            match event {
                Some(Ok(LiveEvent::Message {
                    message: LiveMessage::Update(update),
                    ..
                })) => versions.push(update.version),
                Some(_) => {}
                None => return versions,
            }
        }
    };
    let script = async {
        let (mut socket, _) = server.accept().await;
        for version in 1..50 {
            send(&mut socket, update(version, "PENDING")).await;
        }
        drop(socket);
        let (mut socket, subscribe) = server.accept().await;
        let since = subscribe["since"].as_u64().expect("a version");
        for version in since..100 {
            let version = u32::try_from(version).expect("small");
            send(&mut socket, update(version + 1, "PENDING")).await;
        }
        send(&mut socket, update(101, "REJECTED")).await;
        socket
    };
    let versions = both(following, script).await;
    assert_eq!(versions, (1..=101).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_first_connection_is_the_caller_s_to_judge() {
    let server = Server::start().await;
    let client = Client::new(&server.url).expect("a client");
    let mut live = client.live();
    for order in 0..=ORDERS_MAX as u128 {
        live = live.order(Uuid::from_u128(order), None);
    }
    let many = live.connect().await.expect_err("too many");
    assert!(matches!(many, Error::Usage(_)), "{many:?}");
    drop(server);
    let error = client.live().connect().await.expect_err("nobody listens");
    let Error::NoAnswer { cause, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(cause, "connection refused");
}
