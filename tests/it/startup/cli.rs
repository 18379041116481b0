//! The client commands of the real binary, against a small server that speaks the documented REST.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::Arc;

use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

const ID: &str = "01927c3e-8f1a-7000-8000-0123456789ab";

fn view(status: &str, version: u32, content: Value) -> Value {
    let mut view = content;
    view["id"] = ID.into();
    view["status"] = status.into();
    view["version"] = version.into();
    view["totalAmount"] = 950.into();
    view["createdAt"] = "2026-01-31T12:00:00.000Z".into();
    view["updatedAt"] = "2026-01-31T12:00:00.000Z".into();
    view["extra"] = "a newer field".into();
    view
}

fn content() -> Value {
    json!({"customerId": ID, "currency": "EUR", "items": [],
        "address": {"street": "S 1", "city": "C", "postalCode": "1", "country": "DE"}})
}

fn problem(status: StatusCode, more: &Value) -> impl IntoResponse + use<> {
    let mut body = json!({"type": "/problems/x", "title": "Title", "status": status.as_u16(),
        "detail": "what is wrong", "code": "x", "instance": "/"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string())
}

async fn place_order(headers: HeaderMap, Json(body): Json<Value>) -> axum::response::Response {
    if body["items"][0]["quantity"] == 0 {
        let errors = json!([{"pointer": "/items/0/quantity", "detail": "must be 1 to 10000"}]);
        let errors = json!({"errors": errors});
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &errors).into_response();
    }
    let mut body = view("PENDING", 1, body);
    body["trackingUrl"] = "https://shop.example/track/AWsx".into();
    body["sentKey"] = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .into();
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn put_status(
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> axum::response::Response {
    assert_eq!(id, ID);
    let status = body["status"].as_str().expect("a status").to_owned();
    match (status.as_str(), headers.get(header::IF_MATCH)) {
        ("PREPARING", Some(tag)) if tag == "\"2\"" => {
            let mut view = view(&status, 3, content());
            view["courierId"] = body["courierId"].clone();
            Json(view).into_response()
        }
        ("PREPARING", _) => StatusCode::PRECONDITION_FAILED.into_response(),
        _ => {
            let more = json!({"currentStatus": "CONFIRMED", "allowed": ["PREPARING", "CANCELLED"]});
            problem(StatusCode::CONFLICT, &more).into_response()
        }
    }
}

async fn get_order(Path(id): Path<String>) -> axum::response::Response {
    if id != ID {
        return problem(StatusCode::NOT_FOUND, &json!({})).into_response();
    }
    let tag = [(header::ETAG, "\"2\"")];
    (tag, Json(view("CONFIRMED", 2, content()))).into_response()
}

async fn list_letters(request: Request) -> Json<Value> {
    let (offset, next) = match request.uri().query().unwrap_or_default() {
        "limit=200&topic=ORDER_CREATED" | "limit=1&topic=ORDER_CREATED" => (7, Some("c7")),
        "limit=200&topic=ORDER_CREATED&cursor=c7" => (8, None),
        query => panic!("{query}"),
    };
    let letter = json!({"id": format!("ORDER_CREATED/0/{offset}"), "topic": "ORDER_CREATED",
        "partition": 0, "offset": offset, "key": ID, "reason": "no JSON",
        "parkedAt": "2026-01-31T12:00:00.000Z", "headers": {"ce_id": "x"}, "payload": "{"});
    Json(json!({"items": [letter], "nextCursor": next}))
}

/// Tells of one version, and of a new one whenever the client says anything more.
async fn track(mut socket: WebSocket) {
    for version in 1.. {
        let Some(Ok(_)) = socket.recv().await else {
            return;
        };
        for version in [version * 2 - 1, version * 2] {
            let update = json!({"type": "update", "orderId": ID, "version": version,
                "previousStatus": null, "status": "PENDING", "by": "client",
                "at": "2026-01-31T12:00:00.000Z"});
            if socket
                .send(Message::text(update.to_string()))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// The server's routes.
fn router() -> axum::Router {
    let history = json!({"orderId": ID, "items": [{"version": 1, "previousStatus": null,
        "status": "PENDING", "at": "2026-01-31T12:00:00.000Z", "by": "client", "commandId": ID}]});
    let sent = |Path(place): Path<String>| async move {
        assert_eq!(place, "ORDER_CREATED/0/7/send");
        Json(json!({"topic": "ORDER_CREATED"}))
    };
    axum::Router::new()
        .route("/api/v1/orders", post(place_order))
        .route(
            "/api/v1/track",
            get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(track) }),
        )
        .route("/api/v1/orders/{id}", get(get_order))
        .route("/api/v1/orders/{id}/status", put(put_status))
        .route(
            "/api/v1/orders/{id}/history",
            get(|| async { Json(history) }),
        )
        .route("/admin/v1/dead-letters", get(list_letters))
        .route("/admin/v1/dead-letters/{*place}", post(sent))
}

async fn start() -> Arc<str> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router()).await });
    url.into()
}

/// A listener behind TLS.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, client) = self.listener.accept().await.expect("a connection");
            // A client that doesn't trust it ends the handshake.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, client);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Starts the server behind TLS with a certificate that signs itself; its URL, and the certificate as PEM.
async fn start_encrypted() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = Encrypted { listener, acceptor };
    tokio::spawn(async move { axum::serve(listener, router()).await });
    (format!("https://localhost:{port}"), made.cert.pem())
}

async fn run(url: &str, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trackops"))
        .args(words)
        .env("TRACKOPS_URL", url)
        .env("TRACKOPS_MANAGEMENT_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that reads no input may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn place_prints_what_comes_next() {
    let url = start().await;
    let placed = run(&url, &["place"], "").await;
    assert_eq!(placed.status.code(), Some(0), "{}", err(&placed));
    let text = out(&placed);
    assert!(
        text.contains(ID) && text.contains("PENDING (version 1)"),
        "{text}"
    );
    let told = "\nlink    https://shop.example/track/AWsx\n";
    assert!(text.contains(told), "{text}");
    let hint = format!("watch {ID} --since 0 --url {url}\n");
    assert!(text.ends_with(&hint), "{text}");
    let with_password = url.replace("http://", "http://u:hunter2@");
    let placed = run(&with_password, &["place"], "").await;
    assert!(out(&placed).ends_with(&hint), "{}", out(&placed));
    assert!(!format!("{placed:?}").contains("hunter2"));

    let body = r#"{"customerId":"01927c3e-8f1a-7000-8000-0123456789ab","currency":"EUR",
        "items":[{"sku":"A","quantity":3,"unitPrice":1}],
        "address":{"street":"S","city":"C","postalCode":"1","country":"DE"}}"#;
    let placed = run(
        &url,
        &["place", "--body", "-", "--key", "k-1", "--json"],
        body,
    )
    .await;
    let line = out(&placed);
    assert_eq!(line.lines().count(), 1, "{line}");
    let shown: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(shown["items"][0]["quantity"], 3);
    assert_eq!(
        (&shown["sentKey"], &shown["extra"]),
        (&json!("k-1"), &json!("a newer field"))
    );

    let placed = run(&url, &["place", "--shop", "north", "--json"], "").await;
    let shown: Value = serde_json::from_str(&out(&placed)).expect("JSON");
    assert_eq!(shown["shopId"], "north");
    let quiet = run(&url, &["place", "-q", "--item", "A:1:5"], "").await;
    assert_eq!(out(&quiet), format!("{ID}\n"));
}

#[tokio::test]
async fn refusals_are_told_to_a_person() {
    let url = start().await;
    let refused = run(&url, &["place", "--quantity", "0"], "").await;
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        err(&refused),
        "trackops: Title: what is wrong\n  /items/0/quantity: must be 1 to 10000\n"
    );
    let refused = run(&url, &["advance", ID, "delivered"], "").await;
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        err(&refused),
        "trackops: Title: what is wrong\n  the order is CONFIRMED\n  \
         possible now: PREPARING, CANCELLED\n"
    );
    let usage = run(&url, &["advance", ID, "lost"], "").await;
    assert_eq!(usage.status.code(), Some(2));
}

#[tokio::test]
async fn the_next_step_is_found_and_guarded() {
    let url = start().await;
    let advanced = run(&url, &["advance", ID], "").await;
    assert_eq!(
        out(&advanced),
        format!("{ID} is PREPARING (version 3)\n"),
        "{}",
        err(&advanced)
    );
    let named = run(&url, &["advance", ID, "--courier", "anna", "--json"], "").await;
    let named: Value = serde_json::from_str(&out(&named)).expect("JSON");
    assert_eq!(named["courierId"], "anna");
    let shown = run(&url, &["show", ID, "--history", "--json"], "").await;
    let shown: Value = serde_json::from_str(&out(&shown)).expect("JSON");
    assert_eq!(shown["history"][0]["by"], "client");
    assert_eq!(shown["status"], "CONFIRMED");
}

#[tokio::test]
async fn dead_letters_are_listed_and_sent_again() {
    let url = start().await;
    let words = ["dead-letters", "list", "--topic", "ORDER_CREATED"];
    let listed = run(&url, &words, "").await;
    let line = |n: u8| format!("ORDER_CREATED/0/{n}  2026-01-31T12:00:00.000Z  {ID}  no JSON\n");
    assert_eq!(out(&listed), line(7) + &line(8), "{}", err(&listed));
    let first = run(&url, &[&words[..], &["--limit", "1"]].concat(), "").await;
    assert_eq!(out(&first), line(7), "{}", err(&first));
    let json = run(&url, &[&words[..], &["--json"]].concat(), "").await;
    assert_eq!(out(&json).lines().count(), 2, "a page a line");
    let sent = run(&url, &["dead-letters", "resend", "ORDER_CREATED/0/7"], "").await;
    assert_eq!(
        out(&sent),
        "sent to ORDER_CREATED again\n",
        "{}",
        err(&sent)
    );
}

#[tokio::test]
async fn a_server_behind_tls_is_reached_if_it_is_trusted() {
    let (url, authority) = start_encrypted().await;
    let file = std::env::temp_dir().join(format!("trackops-ca-{}.pem", uuid::Uuid::new_v4()));
    std::fs::write(&file, authority).expect("written");
    let ca = file.to_str().expect("UTF-8");
    let shown = run(&url, &["show", ID, "--ca", ca], "").await;
    assert!(out(&shown).contains("CONFIRMED"), "{}", err(&shown));
    let words = ["dead-letters", "resend", "ORDER_CREATED/0/7", "--ca", ca];
    let sent = run(&url, &words, "").await;
    assert_eq!(
        out(&sent),
        "sent to ORDER_CREATED again\n",
        "{}",
        err(&sent)
    );
    // Somebody else's authority.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    std::fs::write(&file, other.cert.pem()).expect("written");
    let refused = run(&url, &["show", ID, "--ca", ca], "").await;
    assert_eq!(refused.status.code(), Some(1));
    let hint = ": name a PEM file with its authority by --ca\n";
    assert!(err(&refused).ends_with(hint), "{}", err(&refused));
    std::fs::remove_file(&file).expect("removed");
    let missing = run(&url, &["show", ID, "--ca", ca], "").await;
    assert!(err(&missing).contains(ca), "{}", err(&missing));
}

#[tokio::test]
async fn watch_prints_at_once_and_ends_by_ctrl_c() {
    let url = start().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_trackops"))
        .args(["watch", ID, "--since", "0", "--url", &*url])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for version in ["v1", "v2"] {
        let line = lines.next_line().await.expect("readable").expect("a line");
        let expected = format!("12:00:00.000Z  …456789ab  placed → PENDING          {version}");
        assert_eq!(line, format!("{expected}  by client"));
    }
    let pid = child.id().expect("it runs").to_string();
    let interrupted = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(interrupted.expect("kill is there").success());
    let ended = child.wait().await.expect("it ends");
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn watch_ends_quietly_with_its_reader() {
    let url = start().await;
    let binary = env!("CARGO_BIN_EXE_trackops");
    let script =
        format!("'{binary}' watch {ID} --since 0 --json | head -n 1; echo ${{PIPESTATUS[0]}}");
    // The second version finds the pipe closed, or a ping's answer does.
    let ended = Command::new("bash")
        .args(["-c", &script])
        .env("TRACKOPS_URL", &*url)
        .output()
        .await
        .expect("bash is there");
    let text = out(&ended);
    assert!(text.starts_with(r#"{"at":"#), "{text}");
    assert!(text.ends_with("\n0\n"), "{text}");
    assert_eq!(err(&ended), "");
}
