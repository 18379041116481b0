//! A client of HTTP/2, and frames as they are.

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::raw::{PATIENCE, Running};

/// What a client sends first, with empty settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The types of frames (RFC 9113, 6).
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;

/// A client's side of one connection.
pub struct Client {
    send: SendRequest<Body>,
    /// Ends with the connection.
    pub ended: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub async fn connect(running: &Running) -> Self {
        Self::of(running, &Builder::new(TokioExecutor::new())).await
    }

    pub async fn of(running: &Running, builder: &Builder<TokioExecutor>) -> Self {
        let stream = TokioIo::new(running.connect().await);
        let (send, connection) = builder.handshake(stream).await.expect("HTTP/2");
        Self {
            send,
            ended: tokio::spawn(connection),
        }
    }

    /// Sends at once; the answer comes later.
    pub fn begin<B: Into<Body>>(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: B,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<B> {
        let mut request = Request::builder()
            .version(Version::HTTP_2)
            .method(method)
            .uri(format!("http://x{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a sound request");
        self.send.clone().send_request(request)
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let sent = self.begin("GET", path, &[], Body::empty());
        read(sent.await.expect("an answer")).await
    }

    pub async fn over(self) {
        let ended = timeout(PATIENCE, self.ended).await;
        // How it ends is the server's affair.
        let _ = ended.expect("the connection ends").expect("no panic");
    }
}

/// Status and body of an answer.
pub async fn read(response: Response<Incoming>) -> (u16, String) {
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.expect("in time");
    let body = body.expect("a whole body").to_bytes();
    (
        head.status.as_u16(),
        String::from_utf8(body.to_vec()).expect("UTF-8"),
    )
}

/// The next frame: type, flags, stream and content.
pub async fn frame(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    let read = timeout(PATIENCE, stream.read_exact(&mut head)).await;
    read.expect("in time").ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut content = vec![0; usize::try_from(length).expect("small")];
    stream.read_exact(&mut content).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], id, content))
}

/// Reads until a frame of that type; its content.
pub async fn frame_of(stream: &mut TcpStream, kind: u8) -> Option<Vec<u8>> {
    loop {
        let (got, _, _, content) = frame(stream).await?;
        if got == kind {
            return Some(content);
        }
    }
}

pub fn encoded(kind: u8, flags: u8, id: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("small").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &id.to_be_bytes()].concat();
    [&head, content].concat()
}

/// `GET /livez` in the static table of HPACK (RFC 7541), with `:authority: x`.
pub fn get_livez(id: u32) -> Vec<u8> {
    let block = b"\x82\x86\x04\x06/livez\x01\x01x";
    encoded(HEADERS, 0x5, id, block)
}
