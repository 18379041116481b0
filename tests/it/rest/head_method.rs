//! `HEAD` answers what `GET` does, without the body (RFC 9110, 9.3.2), wherever there is a `GET`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trackops::api::server::Limits;

use super::raw::{PATIENCE, is_sound, start};
use super::support::Api;

/// The head of the answer, without date and framing, in lower case and in order.
async fn head(stream: &mut TcpStream, method: &str, path: &str) -> Vec<String> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("UTF-8").to_lowercase();
    // How a body is framed says nothing where there is none.
    let is_compared =
        |line: &&str| !line.starts_with("date:") && !line.starts_with("transfer-encoding:");
    let lines = head.lines().filter(is_compared);
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Api::new().await;
    let id = api.place().await;
    let running = start(&api, Limits::default(), PATIENCE);
    for path in [
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
        "/api/v1/orders",
        &format!("/api/v1/orders/{id}"),
        &format!("/api/v1/orders/{id}/history"),
        &format!("/api/v1/orders/{id}/events"),
        "/api/v1/orders/x",
        "/api/v1/orders?limit=0",
        "/api/v1/track",
        "/api/v1/inventory/items",
        "/api/v1/inventory/items/NONE",
        "/api/v1/openapi.json",
        "/problems",
        "/problems/not-found",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
        "/admin/v1/cluster",
        "/nothing",
        "/",
    ] {
        let mut stream = running.connect().await;
        let get = timeout(PATIENCE, head(&mut stream, "GET", path));
        let get = get.await.expect("a head");
        let mut stream = running.connect().await;
        let answered = timeout(PATIENCE, head(&mut stream, "HEAD", path));
        assert_eq!(answered.await.expect("a head"), get, "{path}");
        // A byte of a body would stand before the next answer.
        assert!(is_sound(&mut stream).await, "{path}");
    }
}
