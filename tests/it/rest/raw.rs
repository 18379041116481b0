//! A served API, and bytes to and from it as they are.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trackops::api::server::{Limits, Server, Stopped, Until};

use super::support::Api;

/// Longer than anything here takes; only a fault waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

pub struct Running {
    pub addr: SocketAddr,
    pub closing: CancellationToken,
    pub stop: CancellationToken,
    pub ended: JoinHandle<Stopped>,
}

pub fn start(api: &Api, limits: Limits, grace: Duration) -> Running {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, "--listen")
        .expect("a free port")
        .limits(limits);
    let until = Until::default();
    let (closing, stop) = (until.closing.clone(), until.stop.clone());
    Running {
        addr: server.local_addr(),
        closing,
        ended: tokio::spawn(server.serve(api.service.clone(), until, grace)),
        stop,
    }
}

impl Running {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("it listens")
    }

    pub async fn ended(self) -> Stopped {
        timeout(PATIENCE, self.ended)
            .await
            .expect("it ends")
            .expect("without a panic")
    }
}

/// One answer: its head and its body of the declared length.
pub async fn answer(stream: &mut TcpStream) -> (String, String) {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("UTF-8").to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |text| text.parse().expect("a length"));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        (head, String::from_utf8(body).expect("UTF-8"))
    };
    timeout(PATIENCE, read).await.expect("an answer")
}

/// Reads until the server closes.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .expect("it closes")
        .expect("in order");
    text
}

/// Sends `request` and returns the answer's head and body.
pub async fn ask(stream: &mut TcpStream, request: &[u8]) -> (String, String) {
    stream.write_all(request).await.expect("sent");
    answer(stream).await
}

/// Whether the connection serves another request.
pub async fn is_sound(stream: &mut TcpStream) -> bool {
    // A connection that is closed may take the bytes and answer nothing.
    let mut first = [0; 12];
    stream.write_all(LIVEZ).await.is_ok()
        && timeout(PATIENCE, stream.read_exact(&mut first))
            .await
            .is_ok_and(|read| read.is_ok())
        && first == *b"HTTP/1.1 200"
}

/// Status of the answer to `request`, and whether it says that the connection ends, which is then so.
pub async fn outcome(running: &Running, request: &str) -> (u16, bool) {
    let mut stream = running.connect().await;
    let (head, _) = ask(&mut stream, request.as_bytes()).await;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let is_closed = head.contains("\r\nconnection: close\r\n");
    if is_closed {
        assert_eq!(rest(&mut stream).await, "", "{request:?}");
    } else if head.starts_with("http/1.1") {
        assert!(is_sound(&mut stream).await, "{request:?}");
    }
    (status.unwrap_or_else(|| panic!("{head}")), is_closed)
}
