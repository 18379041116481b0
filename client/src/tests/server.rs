//! A local server whose answers a test gives one after another, and that keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const ID: &str = "01927c3e-8f1a-7000-8000-0123456789ab";

/// What the server was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub key: Option<String>,
    pub if_match: Option<String>,
    pub body: Value,
}

/// What it answers with: status, headers, body.
pub type Reply = (u16, Vec<(&'static str, String)>, String);

#[derive(Clone, Default)]
pub struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    pub url: Arc<str>,
}

impl Server {
    /// A server that gives these answers, one to each request.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            sent: Arc::default(),
            url: format!("http://{}", listener.local_addr().expect("bound")).into(),
        };
        let router = Self::router(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// Its routes, for a listener of another kind.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    /// What came, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("not poisoned").clone()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let header = |name| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    server.sent.lock().expect("not poisoned").push(Sent {
        method: parts.method.clone(),
        target: parts.uri.to_string(),
        key: header("idempotency-key"),
        if_match: header("if-match"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let reply = server.replies.lock().expect("not poisoned").pop_front();
    let (status, headers, body) = reply.expect("another request than the script has");
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("a response")
}

/// A view as the server shows it.
pub fn view(status: &str, version: u32) -> Value {
    json!({"id": ID, "status": status, "version": version, "customerId": ID, "currency": "EUR",
        "items": [{"sku": "A", "quantity": 2, "unitPrice": 950}], "totalAmount": 1900,
        "address": {"street": "S", "city": "C", "postalCode": "1", "country": "DE"},
        "createdAt": "2026-01-31T12:00:00.000Z", "updatedAt": "2026-01-31T12:00:05.000Z",
        "extra": "a newer field"})
}

/// A good answer.
pub fn ok(body: &Value) -> Reply {
    (200, Vec::new(), body.to_string())
}

/// A refusal, with `Retry-After` if there are seconds.
pub fn problem(status: u16, code: &str, retry_after: Option<u64>) -> Reply {
    let headers = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
    let body = json!({"type": format!("/problems/{code}"), "title": "T", "status": status,
        "detail": "D", "code": code, "instance": "/"});
    (status, headers.into_iter().collect(), body.to_string())
}
