//! A server with the live endpoints, the real hub and queues, and clients of both kinds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use trackops::api::router::{live_routes, tracking_routes};
use trackops::api::track::{Limits, TrackState, TrackingState};
use trackops::auth::Auth;
use trackops::auth::audit::AuditLog;
use trackops::auth::tracking_links::TrackingLinks;
use trackops::config::tracking_keys;
use trackops::live::hub::Hub;
use trackops::ports::clock::{Clock, SystemClock, uuid_v7_at};
use trackops_domain::access::Caller;
use trackops_domain::ids::OrderId;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::live::live_support::{SOMEWHERE, TestOrders};
use crate::support::wait::until;

/// Longer than anything here takes, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Small, so that the kernel's buffers don't hide a slow reader.
const KERNEL_BUFFER_BYTES: u32 = 8 * 1024;

/// Stands still at the orders' first moment until a test puts it forward.
#[derive(Default)]
pub struct StillClock(AtomicI64);

impl StillClock {
    pub fn put_forward(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a short time");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(SOMEWHERE.at.0 + self.0.load(Ordering::SeqCst))
    }

    fn uuid_v7(&self) -> Uuid {
        uuid_v7_at(self.now())
    }
}

pub struct Server {
    pub address: SocketAddr,
    /// The clock of tracking links.
    pub clock: Arc<StillClock>,
    pub links: TrackingLinks,
    pub hub: Arc<Hub>,
    pub orders: Arc<TestOrders>,
    pub state: TrackState,
}

/// The live routes for anybody.
pub fn routes(state: TrackState) -> Router {
    live_routes(state)
        .into_router()
        .layer(Extension(Caller::anonymous()))
}

impl Server {
    pub fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let hub = Hub::new();
        let orders = TestOrders::new(Arc::clone(&hub));
        let shutdown = CancellationToken::new();
        let mut state = TrackState::new(
            Arc::clone(&orders) as _,
            Arc::clone(&hub) as _,
            Auth::open(AuditLog::none(Arc::new(SystemClock))),
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
        let clock = Arc::new(StillClock::default());
        let keys = tracking_keys::parse(&"k1:of the tests only".into()).expect("keys");
        let links = TrackingLinks::new(&keys, "", Arc::clone(&clock) as _);
        let tracking = TrackingState {
            live: state.clone(),
            links: links.clone(),
        };
        let routes = routes(state.clone()).merge(tracking_routes(tracking).into_router());
        let service =
            axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
        tokio::spawn(service.into_future());
        Self {
            address,
            clock,
            links,
            hub,
            orders,
            state,
        }
    }

    pub async fn connect(&self) -> Client {
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

    pub fn events_url(&self, order: impl std::fmt::Display) -> String {
        format!("http://{}/api/v1/orders/{order}/events", self.address)
    }

    /// Where the events of an order's tracking link are.
    pub fn tracking_url(&self, order: OrderId) -> String {
        let url = self.links.url(order).expect("a link");
        let token = url.strip_prefix("/track/").expect("a path");
        format!("http://{}/api/v1/tracking/{token}/events", self.address)
    }

    /// Waits until so many sockets and streams are open or about to be.
    pub async fn until_open(&self, count: usize) {
        until("so many are open", || async {
            (self.state.connections.len() == count).then_some(())
        })
        .await;
    }

    /// Waits until every socket and stream has ended.
    pub async fn all_ended(&self) {
        self.state.connections.close();
        timeout(PATIENCE, self.state.connections.wait())
            .await
            .expect("connections end");
    }
}

pub struct Client(pub WebSocketStream<TcpStream>);

impl Client {
    pub async fn send(&mut self, text: impl Into<String>) {
        let message = Message::Text(text.into().into());
        self.0.send(message).await.expect("is sent");
    }

    pub async fn subscribe(&mut self, order: OrderId, since: Option<u32>) {
        let mut message = json!({"type": "subscribe", "orderId": order.0});
        if let Some(since) = since {
            message["since"] = since.into();
        }
        self.send(message.to_string()).await;
    }

    pub async fn next(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.0.next()).await.expect("in time");
        next.and_then(Result::ok)
    }

    pub async fn json(&mut self) -> Value {
        loop {
            match self.next().await.expect("is open") {
                Message::Text(text) => return serde_json::from_str(&text).expect("is JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }

    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Message::Close(frame) = self.next().await? {
                return frame.map(|f| CloseCode::into(f.code));
            }
        }
    }

    pub async fn is_open(&mut self, order: OrderId) {
        self.subscribe(order, None).await;
        assert_eq!(self.json().await["type"], "snapshot");
    }
}

/// One event as `(event, id, data)`.
pub async fn next_event(
    stream: &mut reqwest::Response,
    text: &mut String,
) -> (String, String, Value) {
    loop {
        if let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().to_owned()
            };
            // A comment, or the field that says when to come back.
            if event.starts_with(':') || event.starts_with("retry: ") {
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
