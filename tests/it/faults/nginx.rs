//! The system behind a real nginx, set up as it comes: what streams, what is refused, and what is idle
//! has to get through.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;
use xtask::servers::{NGINX_PORT_WORD, Nginx, Scratch};

use crate::scenarios::Socket;
use crate::support::bodies::order;
use crate::support::client::{Client, Endpoints};
use crate::support::dev::DevProcess;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// As it comes: HTTP/1.0 to us, a connection a request, bodies and answers buffered.
const PLAIN: &str = "";

/// With connections that are kept, and nothing buffered on the way in.
const POOLED: &str = "/pooled";

/// A `dev` and an nginx in front of it.
struct Site {
    nginx: Nginx,
    dev: DevProcess,
    http: reqwest::Client,
    // After the server in it.
    _scratch: Scratch,
}

impl Site {
    async fn start() -> Self {
        let dev = DevProcess::start(None).await;
        let behind = dev.client.to.order.trim_start_matches("http://").to_owned();
        let site = format!(
            r#"
            upstream pool {{ server {behind}; keepalive 8; }}
            server {{
                listen 127.0.0.1:{NGINX_PORT_WORD};
                location / {{ proxy_pass http://{behind}; }}
                location = /api/v1/track {{
                    proxy_pass http://{behind};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "upgrade";
                }}
                location {POOLED}/ {{
                    proxy_pass http://pool/;
                    proxy_set_header Host $http_host;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_request_buffering off;
                }}
            }}
            "#
        );
        let started = tokio::task::spawn_blocking(move || {
            let scratch = Scratch::new("nginx").expect("a scratch folder");
            let dir = scratch.path().join("nginx");
            std::fs::create_dir(&dir).expect("a folder");
            std::fs::write(dir.join("site.conf"), site).expect("written");
            (Nginx::start(&dir, 0).expect("nginx starts"), scratch)
        });
        let (nginx, scratch) = started.await.expect("no panic");
        Self {
            nginx,
            dev,
            http: reqwest::Client::new(),
            _scratch: scratch,
        }
    }

    fn url(&self, way: &str, path: &str) -> String {
        format!("{}{way}{path}", self.nginx.url())
    }

    async fn place(&self, way: &str) -> Uuid {
        let request = self.http.post(self.url(way, "/api/v1/orders"));
        let answer = request.json(&order()).send().await.expect("answers");
        assert_eq!(answer.status(), 201);
        let view: Value = answer.json().await.expect("JSON");
        view["id"].as_str().expect("an id").parse().expect("a UUID")
    }
}

#[tokio::test]
async fn a_stream_comes_through_as_it_is_written() {
    let site = Site::start().await;
    for way in [PLAIN, POOLED] {
        let id = site.place(way).await;
        site.dev.client.reaches(id, "CONFIRMED").await;
        // With what the client has: there is nothing to tell it, but that the stream has begun.
        let url = site.url(way, &format!("/api/v1/orders/{id}/events?since=2"));
        let opened = timeout(PATIENCE, site.http.get(url).send());
        let answer = opened.await.expect("at once").expect("answers");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers().get("content-type").expect("a type");
        assert_eq!(kind, "text/event-stream");
        let mut bytes = answer.bytes_stream();
        let mut next = async || {
            let next = timeout(PATIENCE, bytes.next()).await.expect("at once");
            let next = next.expect("is open").expect("whole");
            String::from_utf8(next.to_vec()).expect("UTF-8")
        };
        assert!(next().await.starts_with("retry: "), "{way}");
        let step = json!({ "status": "PREPARING" });
        let path = format!("/api/v1/orders/{id}/status");
        let put = site.http.put(site.url(way, &path)).json(&step).send();
        assert_eq!(put.await.expect("answers").status(), 200);
        let update = next().await;
        assert!(update.starts_with("event: update\nid: 3\n"), "{update}");
    }
}

#[tokio::test]
async fn a_socket_comes_through() {
    let site = Site::start().await;
    let base = site.nginx.url();
    let client = Client::new(Endpoints {
        order: base.clone(),
        inventory: base.clone(),
        order_management: base.clone(),
        inventory_management: base.clone(),
        relay_management: base,
    });
    let id = site.place(PLAIN).await;
    site.dev.client.reaches(id, "CONFIRMED").await;
    let mut socket = Socket::open(&client).await;
    let subscribe = json!({ "type": "subscribe", "orderId": id });
    socket.send(&subscribe).await;
    assert_eq!(socket.next().await["type"], "snapshot");
    site.dev
        .client
        .advance(id, "PREPARING", &[])
        .await
        .expect(200);
    assert_eq!(socket.next().await["status"], "PREPARING");
}

/// A proxy that is still sending when we answer and close has a broken connection, and makes a 502 of it.
#[tokio::test]
async fn a_refusal_with_a_body_on_its_way_is_not_made_a_502() {
    let site = Site::start().await;
    let id = site.place(PLAIN).await;
    let body = bytes::Bytes::from(vec![b' '; 1024 * 1024]);
    let cases = [
        (Method::POST, "/nothing".to_owned(), "", 404),
        (Method::DELETE, "/api/v1/orders".into(), "", 405),
        (Method::PUT, "/api/v1/orders/x/status".into(), "", 400),
        (Method::POST, "/api/v1/orders".into(), "", 413),
        (Method::POST, "/api/v1/orders".into(), "gzip", 415),
        (Method::GET, format!("/api/v1/orders/{id}"), "", 200),
    ];
    for way in [PLAIN, POOLED] {
        for (method, path, coding, status) in &cases {
            // Where it goes wrong, it does so most of the time.
            for _ in 0..10 {
                let request = site.http.request(method.clone(), site.url(way, path));
                let mut request = request
                    .header("content-type", "application/json")
                    .body(body.clone());
                if !coding.is_empty() {
                    request = request.header("content-encoding", *coding);
                }
                let answer = request.send().await.expect("answers");
                let status = StatusCode::from_u16(*status).expect("a status");
                assert_eq!(answer.status(), status, "{way} {method} {path}");
            }
        }
    }
}

/// Behind a balancer that keeps connections for 60 s, it must not be us who closes them.
#[tokio::test]
async fn a_connection_is_used_again_after_half_a_minute() {
    let site = Site::start().await;
    let behind = site.dev.client.to.order.trim_start_matches("http://");
    let mut direct = TcpStream::connect(behind).await.expect("it listens");
    let mut ask = async || {
        let request = b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        direct.write_all(request).await.expect("sent");
        let mut status = [0; 12];
        let read = timeout(PATIENCE, direct.read_exact(&mut status));
        read.await.expect("in time").expect("is open");
        assert_eq!(&status, b"HTTP/1.1 200");
        // The rest of the head.
        let mut rest = vec![0; 4096];
        direct.read(&mut rest).await.expect("is open")
    };
    ask().await;
    site.place(POOLED).await;
    // The pause is what is tested: servers commonly close after 30 s, and this one did.
    tokio::time::sleep(Duration::from_secs(31)).await;
    ask().await;
    site.place(POOLED).await;
}
