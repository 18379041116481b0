//! The HTTP server over real sockets: slow clients, large bodies, busy ports, and its own end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use trackops::api::client_stream::{ClientStream, RequestPhase};
use trackops::api::server::{BindError, Limits, Server, Stopped};

use super::doubles::Next;
use super::raw::{LIVEZ, PATIENCE, answer, rest, start};
use super::support::{Api, pizza};

#[tokio::test]
async fn a_slow_head_is_a_408_and_an_idle_connection_is_just_closed() {
    let api = Api::new().await;
    let limits = Limits {
        head_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(600),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut slow = running.connect().await;
    slow.write_all(b"GET /livez?x=1 HTTP/1.1\r\nHost:")
        .await
        .expect("sent");
    let mut idle = running.connect().await;
    idle.write_all(LIVEZ).await.expect("sent");
    assert!(answer(&mut idle).await.0.starts_with("http/1.1 200"));
    let told = rest(&mut slow).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    assert!(
        told.contains("application/problem+json") && told.contains("request-timeout"),
        "{told}"
    );
    assert!(told.contains("\"instance\":\"/livez\""), "{told}");
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn a_client_that_sends_too_much_sees_the_413() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    // More than the sockets' buffers hold together, so that the server has to take it.
    let mut declared = running.connect().await;
    let size = 4 * 1024 * 1024;
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {size}\r\n\r\n"
    );
    declared.write_all(head.as_bytes()).await.expect("sent");
    declared
        .write_all(&vec![b' '; size])
        .await
        .expect("taken whole");
    let (head, body) = answer(&mut declared).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
    assert!(body.contains("\"code\":\"payload-too-large\""), "{body}");
    declared.write_all(LIVEZ).await.expect("sent");
    assert!(
        answer(&mut declared).await.0.starts_with("http/1.1 200"),
        "the connection is sound"
    );

    // One that asks first is told before it sends anything.
    let mut asking = running.connect().await;
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    );
    asking.write_all(head.as_bytes()).await.expect("sent");
    let (head, _) = answer(&mut asking).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_gets_its_413_within_a_second_or_so() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let mut stream = running.connect().await;
    let head = "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 300000\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
}

#[tokio::test]
async fn it_stops_in_good_order() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let mut idle = running.connect().await;
    idle.write_all(LIVEZ).await.expect("sent");
    answer(&mut idle).await;
    let mut fresh = running.connect().await;

    let go_on = Arc::new(Notify::new());
    api.orders.next(Next::Wait(Arc::clone(&go_on)));
    let mut busy = running.connect().await;
    let body = pizza().to_string();
    let request = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    busy.write_all(request.as_bytes()).await.expect("sent");
    api.orders.taken().await;

    running.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(
        TcpStream::connect(running.addr).await.is_err(),
        "it takes no more connections"
    );
    assert!(
        !running.ended.is_finished(),
        "it waits for the answer under way"
    );

    go_on.notify_one();
    let (head, _) = answer(&mut busy).await;
    assert!(head.starts_with("http/1.1 201"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(rest(&mut busy).await, "");
    assert_eq!(running.ended().await, Stopped { cut: 0 });
}

#[tokio::test]
async fn answers_say_close_once_the_end_is_near() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let mut used = running.connect().await;
    used.write_all(LIVEZ).await.expect("sent");
    assert!(!answer(&mut used).await.0.contains("connection: close"));
    running.closing.cancel();
    let mut fresh = running.connect().await;
    for stream in [&mut used, &mut fresh] {
        stream.write_all(LIVEZ).await.expect("sent");
        let (head, _) = answer(stream).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(rest(stream).await, "");
    }
}

/// One thread, so that the server doesn't see the connections before it sees the stop.
#[tokio::test]
async fn who_came_before_the_stop_is_answered() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    tokio::task::yield_now().await;
    let connect = || {
        let stream = std::net::TcpStream::connect(running.addr).expect("it listens");
        stream.set_nonblocking(true).expect("a socket");
        TcpStream::from_std(stream).expect("within a runtime")
    };
    let mut waiting = [connect(), connect()];
    running.stop.cancel();
    for stream in &mut waiting {
        stream.write_all(LIVEZ).await.expect("sent");
    }
    for stream in &mut waiting {
        let (head, _) = answer(stream).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
    }
    assert_eq!(running.ended().await, Stopped { cut: 0 });
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), Duration::from_millis(200));
    api.orders.next(Next::Wait(Arc::new(Notify::new())));
    let mut stuck = running.connect().await;
    let path = "/api/v1/orders/0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f";
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stuck.write_all(request.as_bytes()).await.expect("sent");
    api.orders.taken().await;
    running.stop.cancel();
    assert_eq!(rest(&mut stuck).await, "");
    assert_eq!(running.ended().await, Stopped { cut: 1 });
}

#[tokio::test]
async fn connections_past_the_bound_wait_their_turn() {
    let api = Api::new().await;
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut first = running.connect().await;
    first.write_all(LIVEZ).await.expect("sent");
    answer(&mut first).await;
    let mut second = running.connect().await;
    second.write_all(LIVEZ).await.expect("sent");
    let unanswered = timeout(Duration::from_millis(200), second.readable()).await;
    assert!(unanswered.is_err(), "the bound is one connection");
    drop(first);
    assert!(answer(&mut second).await.0.starts_with("http/1.1 200"));
}

/// What can't be read as HTTP at all is answered by the HTTP library, below our form of errors.
#[tokio::test]
async fn what_is_no_http_gets_the_bare_answer_that_is_documented() {
    let api = Api::new().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let cases = [
        ("400", "no http\r\n\r\n".to_owned()),
        (
            "431",
            format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024)),
        ),
    ];
    for (status, request) in cases {
        let mut stream = running.connect().await;
        // It may close before it has read everything.
        drop(stream.write_all(request.as_bytes()).await);
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(body, "", "{status}");
    }
}

/// More than the buffers of both kernels hold together.
const UNREAD_BYTES: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let api = Api::new().await;
    let limits = Limits {
        connections_max: 1,
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let mut deaf = running.connect().await;
    let document = api.get("/api/v1/openapi.json").await.text.len();
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    // It may be cut before it has asked for everything.
    drop(
        deaf.write_all(&request.repeat(UNREAD_BYTES / document))
            .await,
    );
    let mut next = running.connect().await;
    next.write_all(LIVEZ).await.expect("sent");
    let (head, _) = answer(&mut next).await;
    assert!(head.starts_with("http/1.1 200"), "its place is free again");
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_never_reads_is_cut() {
    let (stopped, stream) = tokio::io::duplex(1024);
    let limit = Duration::from_millis(100);
    let mut stream = ClientStream::new(stream, limit, limit, RequestPhase::default());
    // Slow, but alive: a byte at a time is enough.
    let mut slow = stopped;
    let (sent, ()) = tokio::join!(stream.write_all(&[0; 1034]), async {
        for _ in 0..10 {
            // Half of the limit each time: the reader is what is slow here.
            tokio::time::sleep(limit / 2).await;
            slow.read_u8().await.expect("sent");
        }
    });
    sent.expect("it went on");
    let error = stream.write_all(&[0; 1024]).await.expect_err("cut");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_busy_port_is_one_line_that_names_it_and_the_flag() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, "--listen").expect("a free port");
    let taken = server.local_addr();
    let error = Server::bind(taken, "--listen").expect_err("it is taken");
    assert!(matches!(error, BindError::Busy { .. }), "{error}");
    let line = error.to_string();
    assert!(
        line.contains(&taken.port().to_string()) && line.contains("--listen"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 80));
    let error = Server::bind(nowhere, "--listen").expect_err("not this machine's");
    assert!(matches!(error, BindError::Refused { .. }), "{error}");
}
