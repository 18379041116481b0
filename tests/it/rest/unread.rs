//! What becomes of bodies that nobody reads, and who is asked for one.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use trackops::api::server::Limits;

use super::doubles::Next;
use super::raw::{PATIENCE, Running, answer, ask, is_sound, outcome, rest, start};
use super::support::{Api, pizza};

fn serve(api: &Api) -> Running {
    start(api, Limits::default(), PATIENCE)
}

/// Requests that are answered without a look at their body, by status.
async fn deaf_to_bodies(api: &Api) -> Vec<(u16, String)> {
    let id = api.place().await;
    vec![
        (200, format!("GET /api/v1/orders/{id}")),
        (304, format!("GET /api/v1/orders/{id}")),
        (400, "PUT /api/v1/orders/x/status".into()),
        (400, "POST /api/v1/orders".into()),
        (404, "POST /nothing".into()),
        (405, "DELETE /api/v1/orders".into()),
        (413, "POST /api/v1/orders".into()),
        (415, "POST /api/v1/orders".into()),
        (415, format!("PUT /api/v1/orders/{id}/location")),
        (426, "GET /api/v1/track".into()),
        (500, format!("GET /api/v1/orders/{id}")),
        (501, "BREW /".into()),
    ]
}

/// The fields that make the request of [`deaf_to_bodies`] end with its status.
fn fields_of(status: u16) -> &'static str {
    match status {
        304 => "If-None-Match: \"1\"\r\n",
        400 => "Content-Type: application/json\r\nIf-None-Match: *\r\n",
        413 => "Content-Type: application/json\r\n",
        415 => "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        426 => {
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
        _ => "",
    }
}

async fn refused(
    api: &Api,
    stream: &mut TcpStream,
    (status, line): &(u16, String),
    more_fields: &str,
    body: &[u8],
) -> String {
    if *status == 500 {
        api.orders.next(Next::Panic);
    }
    let fields = fields_of(*status);
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{fields}{more_fields}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // As a client that reads only when it has sent everything.
    stream.write_all(body).await.expect("taken whole");
    let (head, _) = answer(stream).await;
    assert!(
        head.starts_with(&format!("http/1.1 {status}")),
        "{line}: {head}"
    );
    head
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_taken_and_the_connection_goes_on() {
    let api = Api::new().await;
    let running = serve(&api);
    // More than the sockets' buffers hold together.
    let body = vec![b' '; 3 * 1024 * 1024];
    let length = format!("Content-Length: {}\r\n", body.len());
    for case in deaf_to_bodies(&api).await {
        let mut stream = running.connect().await;
        let head = refused(&api, &mut stream, &case, &length, &body).await;
        // What HTTP itself makes of a method that it doesn't know, we can't tell.
        let ends = case.0 == 501;
        assert_eq!(head.contains("connection: close"), ends, "{case:?} {head}");
        if !ends {
            assert!(is_sound(&mut stream).await, "{case:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_the_connection_is_announced_where_a_body_is_too_much() {
    let api = Api::new().await;
    let running = serve(&api);
    let body = vec![b' '; 6 * 1024 * 1024];
    let length = format!("Content-Length: {}\r\n", body.len());
    for case in deaf_to_bodies(&api).await {
        let mut stream = running.connect().await;
        let head = refused(&api, &mut stream, &case, &length, &body).await;
        assert!(head.contains("connection: close"), "{case:?} {head}");
        assert_eq!(rest(&mut stream).await, "", "{case:?}");
    }
    // One that never comes: as soon as it is clear that it doesn't.
    for case in deaf_to_bodies(&api).await {
        let mut stream = running.connect().await;
        let head = refused(&api, &mut stream, &case, &length, b"{").await;
        assert!(head.contains("connection: close"), "{case:?} {head}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_a_body_that_is_refused() {
    let api = Api::new().await;
    let running = serve(&api);
    let fields = "Expect: 100-continue\r\nContent-Length: 300000\r\n";
    for case in deaf_to_bodies(&api).await {
        let mut stream = running.connect().await;
        let head = refused(&api, &mut stream, &case, fields, b"").await;
        assert!(head.contains("connection: close"), "{case:?} {head}");
        assert_eq!(rest(&mut stream).await, "", "{case:?}");
    }
    let order = pizza().to_string();
    for (wrong, status) in [
        ("Content-Type: text/plain", 415),
        (
            "Content-Type: application/json\r\nIdempotency-Key: a b",
            400,
        ),
    ] {
        let request = format!(
            "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n{wrong}\r\nExpect: 100-continue\r\n\
             Content-Length: {}\r\n\r\n",
            order.len()
        );
        assert_eq!(outcome(&running, &request).await, (status, true), "{wrong}");
    }
    // One that is welcome is asked for.
    let mut stream = running.connect().await;
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-Continue\r\nContent-Length: {}\r\n\r\n",
        order.len()
    );
    let (word, _) = ask(&mut stream, head.as_bytes()).await;
    assert!(word.starts_with("http/1.1 100"), "{word}");
    let (head, _) = ask(&mut stream, order.as_bytes()).await;
    assert!(head.starts_with("http/1.1 201"), "{head}");
    assert!(is_sound(&mut stream).await);
}

#[tokio::test]
async fn a_body_is_never_taken_for_a_request() {
    let api = Api::new().await;
    let running = serve(&api);
    let hidden = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let next = "GET /nothing/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for first in [
        format!(
            "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!(
            "GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!(
            "DELETE /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{hidden}\r\n0\r\n\r\n",
            hidden.len()
        ),
        "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
    ] {
        // All in one go, as a client that pipelines.
        let mut stream = running.connect().await;
        let both = format!("{first}{next}");
        stream.write_all(both.as_bytes()).await.expect("sent");
        let all = rest(&mut stream).await;
        assert_eq!(all.matches("HTTP/1.1 ").count(), 2, "{first:?}: {all}");
        let last = all.rfind("HTTP/1.1 ").expect("an answer");
        assert!(all[last..].contains("/nothing/next"), "{first:?}: {all}");
        if first.starts_with("HEAD") {
            assert!(!all[..last].contains('{'), "{all}");
        }
    }
    // After a body that makes no sense nothing is a request any more.
    let json = "Content-Type: application/json\r\n";
    for body in ["zz\r\n", "2\r\n{}x\r\n", "fffffffffffffffff\r\n{"] {
        let mut stream = running.connect().await;
        let request = format!(
            "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n{json}Transfer-Encoding: chunked\r\n\r\n\
             {body}{hidden}"
        );
        let (head, body) = ask(&mut stream, request.as_bytes()).await;
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(body.contains("unreadable-body"), "{body}");
        assert_eq!(rest(&mut stream).await, "");
    }
}

/// The client goes away, or closes its side, in the middle of a body.
#[tokio::test]
async fn a_body_that_breaks_off_is_a_400_and_the_end() {
    let running = start(&Api::new().await, Limits::default(), PATIENCE);
    let json = "Content-Type: application/json\r\n";
    for part in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "Content-Length: 9\r\n\r\n{\"a",
    ] {
        let mut stream = running.connect().await;
        let request = format!("POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n{json}{part}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("closed");
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(body.contains("unreadable-body"), "{body}");
        assert_eq!(rest(&mut stream).await, "");
    }
}
