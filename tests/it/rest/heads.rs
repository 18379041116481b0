//! RFC 9112 by its bytes: which heads are ambiguous, unknown or no HTTP, what they are answered, and for
//! how long one is waited for.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use trackops::api::server::Limits;

use super::raw::{LIVEZ, PATIENCE, answer, ask, outcome, rest, start};
use super::support::{Api, pizza};

/// What an answer says of the connection.
const GOES_ON: bool = false;
const ENDS: bool = true;

/// Sends each request on a connection of its own: status, and whether the connection ends.
async fn all_are(cases: &[(String, u16, bool)]) {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    for (request, status, ends) in cases {
        let shown: String = request.chars().take(120).collect();
        let got = outcome(&running, request).await;
        assert_eq!(got, (*status, *ends), "{shown:?}");
    }
}

/// RFC 9112, 3.2.
#[tokio::test]
async fn a_request_has_one_valid_host() {
    let get = |fields: &str| format!("GET /livez HTTP/1.1\r\n{fields}\r\n");
    all_are(&[
        (get("Host: x\r\n"), 200, GOES_ON),
        (get("Host: x:8080\r\n"), 200, GOES_ON),
        (get("Host: [::1]:8080\r\n"), 200, GOES_ON),
        (get("Host:\r\n"), 200, GOES_ON),
        (get(""), 400, ENDS),
        (get("Host: x\r\nHost: x\r\n"), 400, ENDS),
        (get("Host: x\r\nhost: y\r\n"), 400, ENDS),
        (get("Host: x, y\r\n"), 400, ENDS),
        (get("Host: x y\r\n"), 400, ENDS),
        (get("Host: x/livez\r\n"), 400, ENDS),
        (get("Host: user@x\r\n"), 400, ENDS),
        (get("Host: x:80:80\r\n"), 400, ENDS),
        (get("Host: x:port\r\n"), 400, ENDS),
        ("GET /livez HTTP/1.0\r\n\r\n".into(), 200, GOES_ON),
        (
            "GET /livez HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n".into(),
            400,
            ENDS,
        ),
    ])
    .await;
}

/// RFC 9112, 3.2.1 to 3.2.4.
#[tokio::test]
async fn a_target_is_a_path_or_a_whole_uri() {
    let line = |line: &str| format!("{line}\r\nHost: x\r\n\r\n");
    all_are(&[
        (line("GET http://y/livez HTTP/1.1"), 200, GOES_ON),
        ("GET http://y/livez HTTP/1.1\r\n\r\n".into(), 400, ENDS),
        (line("GET ftp://y/livez HTTP/1.1"), 400, ENDS),
        (line("GET http://user@y/livez HTTP/1.1"), 400, ENDS),
        (line("GET y:80 HTTP/1.1"), 400, ENDS),
        (line("GET livez HTTP/1.1"), 400, ENDS),
        (line("GET * HTTP/1.1"), 400, ENDS),
        (line("OPTIONS * HTTP/1.1"), 204, GOES_ON),
        (line("CONNECT y:80 HTTP/1.1"), 501, ENDS),
    ])
    .await;
}

/// RFC 9110, 9.1; RFC 9112, 2.3 and 3.
#[tokio::test]
async fn a_method_or_request_line_that_nobody_knows_is_refused() {
    let line = |line: &str| format!("{line}\r\nHost: x\r\n\r\n");
    all_are(&[
        (line("BREW /livez HTTP/1.1"), 501, ENDS),
        (line("QUERY /livez HTTP/1.1"), 405, GOES_ON),
        (line("get /livez HTTP/1.1"), 501, ENDS),
        (line("BREW /nothing HTTP/1.1"), 501, ENDS),
        (line("TRACE /livez HTTP/1.1"), 405, GOES_ON),
        (line("DELETE /livez HTTP/1.1"), 405, GOES_ON),
        (
            "\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            200,
            GOES_ON,
        ),
        ("GET /livez HTTP/1.1\nHost: x\n\n".into(), 200, GOES_ON),
        (line("GET  /livez HTTP/1.1"), 400, ENDS),
        (line("GET /li vez HTTP/1.1"), 400, ENDS),
        (line("GET /livez HTTP/1.1 "), 400, ENDS),
        (line("GET /livez"), 400, ENDS),
        (line("GET /livez http/1.1"), 400, ENDS),
        (line("GET /livez HTTP/1.2"), 400, ENDS),
        (line("GET /livez HTTP/2.0"), 400, ENDS),
    ])
    .await;
}

/// RFC 9112, 5, and the limits of a head.
#[tokio::test]
async fn a_field_has_one_line_and_no_control_characters() {
    let get = |fields: &str| format!("GET /livez HTTP/1.1\r\n{fields}\r\n");
    let many = "X: 1\r\n".repeat(101);
    all_are(&[
        (get("Host: x\r\nX: a\r\n b\r\n"), 400, ENDS),
        (get(" Host: x\r\n"), 400, ENDS),
        (get("Host: x\r\nX : a\r\n"), 400, ENDS),
        (get("Host: x\r\nX: a\rb\r\n"), 400, ENDS),
        (get("Host: x\r\nX: a\0b\r\n"), 400, ENDS),
        (get("Host: x\r\n: a\r\n"), 400, ENDS),
        (get("Host: x\r\nX\r\n"), 400, ENDS),
        (get(&format!("Host: x\r\n{many}")), 431, ENDS),
        (
            get(&format!("Host: x\r\nX: {}\r\n", "x".repeat(128 * 1024))),
            431,
            ENDS,
        ),
    ])
    .await;
}

/// RFC 9112, 6.1. With both fields the coding counts, and the connection ends.
#[tokio::test]
async fn the_only_transfer_coding_is_chunked() {
    let post = |fields: &str| format!("POST /nothing HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    all_are(&[
        (
            post("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            404,
            GOES_ON,
        ),
        (
            post("Transfer-Encoding: Chunked\r\n") + "0\r\n\r\n",
            404,
            GOES_ON,
        ),
        (
            post("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
            501,
            ENDS,
        ),
        (
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            501,
            ENDS,
        ),
        (
            post("Transfer-Encoding: identity, chunked\r\n") + "0\r\n\r\n",
            501,
            ENDS,
        ),
        (
            post("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n",
            400,
            ENDS,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            400,
            ENDS,
        ),
        (post("Transfer-Encoding: gzip\r\n"), 400, ENDS),
        (post("Transfer-Encoding: chunked, gzip\r\n"), 400, ENDS),
        (post("Transfer-Encoding: identity\r\n"), 400, ENDS),
        (post("Transfer-Encoding: xchunked\r\n"), 400, ENDS),
        (post("Transfer-Encoding: chunked;q=1\r\n"), 400, ENDS),
        (post("Transfer-Encoding: \x0bchunked\r\n"), 400, ENDS),
        (
            "POST /nothing HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
            ENDS,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n") + "0\r\n\r\n",
            404,
            ENDS,
        ),
        (
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            404,
            ENDS,
        ),
    ])
    .await;
}

/// RFC 9112, 6.2 and 6.3.
#[tokio::test]
async fn a_length_is_one_number() {
    let post = |fields: &str| format!("POST /nothing HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    all_are(&[
        (post("Content-Length: 2\r\n") + "ab", 404, GOES_ON),
        (
            post("Content-Length: 2\r\nContent-Length: 2\r\n") + "ab",
            404,
            GOES_ON,
        ),
        (
            post("Content-Length: 2\r\nContent-Length: 3\r\n"),
            400,
            ENDS,
        ),
        (post("Content-Length: 2, 3\r\n"), 400, ENDS),
        (post("Content-Length: +2\r\n"), 400, ENDS),
        (post("Content-Length: -2\r\n"), 400, ENDS),
        (post("Content-Length: 0x2\r\n"), 400, ENDS),
        (post("Content-Length: 2e0\r\n"), 400, ENDS),
        (post("Content-Length:\r\n"), 400, ENDS),
        (post("Content-Length: 18446744073709551616\r\n"), 400, ENDS),
    ])
    .await;
}

#[tokio::test]
async fn what_we_refuse_of_a_head_has_the_form_of_every_error() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    for (request, code) in [
        ("GET /livez HTTP/1.1\r\n\r\n", "bad-request"),
        ("BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n", "not-implemented"),
        (
            "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "not-implemented",
        ),
    ] {
        let (head, body) = ask(&mut running.connect().await, request.as_bytes()).await;
        assert!(head.contains("application/problem+json"), "{head}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
        assert!(body.contains("\"instance\":\"/livez\""), "{body}");
    }
}

/// The reset that follows a close with data unread would overtake the answer.
#[tokio::test]
async fn the_answer_to_a_head_that_makes_no_sense_is_read_by_who_goes_on_sending() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    for _ in 0..20 {
        let mut stream = running.connect().await;
        let head = "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: +9\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream
            .write_all(&vec![b' '; 1024 * 1024])
            .await
            .expect("taken whole");
        let (head, _) = answer(&mut stream).await;
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn head_says_what_get_says() {
    let api = Api::new().await;
    let id = api.place().await;
    for path in ["/livez".into(), format!("/api/v1/orders/{id}"), "/x".into()] {
        let (get, head) = (api.get(&path).await, api.send("HEAD", &path, &[], "").await);
        assert_eq!(get.status, head.status, "{path}");
        for name in ["content-type", "cache-control", "etag"] {
            assert_eq!(get.header(name), head.header(name), "{path} {name}");
        }
    }
}

/// Idle is longer than the limit of a head, and neither is a limit of what is under way.
#[tokio::test]
async fn the_limit_of_a_head_begins_with_its_first_byte() {
    let api = Api::new().await;
    let head_timeout = Duration::from_millis(300);
    let limits = Limits {
        head_timeout,
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut stream = running.connect().await;
    for _ in 0..2 {
        // Being idle is what is tested, once before anything was sent.
        tokio::time::sleep(head_timeout * 2).await;
        let (begin, end) = LIVEZ.split_at(10);
        stream.write_all(begin).await.expect("sent");
        // A head that comes in pieces, and in time.
        tokio::time::sleep(head_timeout / 3).await;
        let (head, _) = ask(&mut stream, end).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
    // A body has a limit of its own.
    let order = pizza().to_string();
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        order.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    for part in order.as_bytes().chunks(order.len().div_ceil(3)) {
        // A slow client, but slower than a head may be.
        tokio::time::sleep(head_timeout / 2).await;
        stream.write_all(part).await.expect("sent");
    }
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 201"), "{head}");

    // A socket has no heads.
    let stream = running.connect().await;
    let url = format!("ws://{}/api/v1/track", running.addr);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
        .await
        .expect("is upgraded");
    for _ in 0..2 {
        socket.send("nonsense".into()).await.expect("sent");
        let answer = socket.next().await.expect("is open").expect("a message");
        assert!(answer.to_text().expect("text").contains("error"));
        // The silence is what is tested.
        tokio::time::sleep(head_timeout * 2).await;
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_a_load_balancers() {
    assert!(Limits::default().idle_timeout > Duration::from_secs(60));
    let api = Api::new().await;
    let limits = Limits {
        idle_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut stream = running.connect().await;
    ask(&mut stream, LIVEZ).await;
    // Less than the limit: it is still there.
    tokio::time::sleep(Duration::from_millis(100)).await;
    ask(&mut stream, LIVEZ).await;
    assert_eq!(rest(&mut stream).await, "", "closed at the limit");
}
