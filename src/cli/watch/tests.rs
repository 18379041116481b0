//! Watching a scripted server that loses connections, repeats messages and leaves gaps.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::cli::target::{Credential, Target, Trust};

const ID: Uuid = Uuid::from_u128(0x0192_7c3e_0000_7000_8000_0000_0000_0001);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    /// The versions in the printed JSON.
    fn versions(&self) -> Vec<u64> {
        let text = self.text();
        let lines = text.lines();
        let values = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        values
            .map(|v| v["version"].as_u64().expect("a version"))
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
        let message = next(&mut socket).await.expect("a subscription");
        (socket, message)
    }
}

fn orders(url: &str) -> Result<super::Server<Client>, CliError> {
    super::Server::orders(&Target {
        url: url.into(),
        trust: Trust::default(),
        credential: Credential::default(),
    })
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

fn snapshot(version: u32, status: &str) -> Value {
    json!({"type": "snapshot", "orderId": ID, "version": version,
        "order": {"id": ID, "status": status, "version": version, "customerId": ID, "currency": "EUR",
            "items": [], "address": {"street": "S", "city": "C", "postalCode": "1", "country": "DE"},
            "totalAmount": 0, "createdAt": "2026-01-31T12:00:00.000Z",
            "updatedAt": "2026-01-31T12:00:00.000Z"}})
}

fn watch_one(since: Option<u32>) -> Watch {
    Watch {
        orders: vec![(ID, since)],
        json: true,
        until_final: true,
    }
}

/// Runs client and script together, because a fault on either side would leave the other waiting.
fn both<'a, A: 'a, B: 'a>(
    client: impl Future<Output = A> + 'a,
    script: impl Future<Output = B> + 'a,
) -> Pin<Box<dyn Future<Output = (A, B)> + 'a>> {
    Box::pin(async {
        let both = async { tokio::join!(client, script) };
        let limit = Duration::from_secs(10);
        timeout(limit, both).await.expect("both end")
    })
}

async fn run(server: &Server, watch: Watch, lines: &Lines) -> Result<ExitCode, CliError> {
    let client = orders(&server.url).expect("a URL");
    let mut never = std::pin::pin!(std::future::pending());
    let mut output = Output::to(lines.clone());
    follow_until(&client, watch, &mut output, never.as_mut()).await
}

#[tokio::test]
async fn lost_connections_leave_no_gap_and_no_repeat() {
    let server = Server::start().await;
    let lines = Lines::default();
    let script = async {
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], Value::Null);
        send(&mut socket, snapshot(1, "PENDING")).await;
        send(&mut socket, update(2, "CONFIRMED")).await;
        drop(socket);
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], 2);
        send(&mut socket, update(2, "CONFIRMED")).await;
        send(&mut socket, update(3, "PREPARING")).await;
        // A correct server leaves no gap; the client must not print one either.
        send(&mut socket, update(5, "DELIVERED")).await;
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], 3);
        send(&mut socket, update(4, "IN_TRANSIT")).await;
        send(&mut socket, update(5, "DELIVERED")).await;
        assert_eq!(next(&mut socket).await, None, "the client takes leave");
    };
    let (code, ()) = both(run(&server, watch_one(None), &lines), script).await;
    assert_eq!(code.expect("followed"), ExitCode::SUCCESS);
    assert_eq!(lines.versions(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_snapshot_may_jump_and_is_not_repeated() {
    let server = Server::start().await;
    let lines = Lines::default();
    let script = async {
        let (mut socket, subscribe) = server.accept().await;
        assert_eq!(subscribe["since"], 0);
        send(&mut socket, update(1, "PENDING")).await;
        send(&mut socket, snapshot(4, "IN_TRANSIT")).await;
        send(&mut socket, snapshot(4, "IN_TRANSIT")).await;
        send(&mut socket, json!({"type": "later", "orderId": ID})).await;
        send(&mut socket, update(5, "DELIVERED")).await;
        socket
    };
    let (code, _socket) = both(run(&server, watch_one(Some(0)), &lines), script).await;
    assert_eq!(code.expect("followed"), ExitCode::SUCCESS);
    assert_eq!(lines.versions(), [1, 4, 5]);
}

#[tokio::test]
async fn an_unknown_order_fails_and_a_busy_server_is_asked_again() {
    let server = Server::start().await;
    let lines = Lines::default();
    let problem = |status: u16| {
        json!({"type": "error", "orderId": ID,
            "problem": {"title": "T", "detail": "D", "status": status, "code": "c"}})
    };
    let script = async {
        let (mut socket, _) = server.accept().await;
        send(&mut socket, problem(503)).await;
        let (mut socket, _) = server.accept().await;
        send(&mut socket, problem(404)).await;
        socket
    };
    let (code, _socket) = both(run(&server, watch_one(None), &lines), script).await;
    assert_eq!(code.expect("an answer"), ExitCode::FAILURE);
    assert_eq!(lines.text(), "");
}

#[tokio::test]
async fn ctrl_c_closes_the_socket() {
    let server = Server::start().await;
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    let client = orders(&server.url).expect("a URL");
    let mut output = Output::to(io::sink());
    let watch = Watch {
        until_final: false,
        ..watch_one(None)
    };
    let mut interrupt = std::pin::pin!(async move {
        stopped.recv().await;
    });
    let script = async {
        let (mut socket, _) = server.accept().await;
        stop.send(()).await.expect("is waited for");
        assert_eq!(next(&mut socket).await, None, "a close comes");
    };
    let following = follow_until(&client, watch, &mut output, interrupt.as_mut());
    let (code, ()) = both(following, script).await;
    assert_eq!(code.expect("ended"), ExitCode::SUCCESS);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start().await;
    let client = orders(&server.url).expect("a URL");
    let mut never = std::pin::pin!(std::future::pending());
    let mut output = Output::to(Closed);
    let script = async {
        let (mut socket, _) = server.accept().await;
        send(&mut socket, update(1, "PENDING")).await;
        socket
    };
    let following = follow_until(&client, watch_one(Some(0)), &mut output, never.as_mut());
    let (outcome, _socket) = both(following, script).await;
    assert!(matches!(outcome, Err(CliError::Output(_))));
}

#[tokio::test]
async fn the_first_connection_must_work() {
    let server = Server::start().await;
    let url = server.url.clone();
    drop(server.listener);
    let client = orders(&url).expect("a URL");
    let mut never = std::pin::pin!(std::future::pending());
    let mut output = Output::to(io::sink());
    let outcome = follow_until(&client, watch_one(None), &mut output, never.as_mut()).await;
    let report = outcome.expect_err("nobody listens").report();
    assert!(report.contains("connection refused"), "{report}");
}
