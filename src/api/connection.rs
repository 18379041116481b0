//! One connection: requests one after the other, until it ends or the server stops.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client_stream::{ClientStream, RequestPhase};
use super::problem::Problem;
use super::problem_code::Code;
use super::server_limits::Limits;
use super::service::ApiService;
use super::unread::{DRAIN_BYTES_MAX, Unread};

/// The largest request head, and the most of a body that is read at once: twice what common
/// gateways let through.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Whoever was let in gets an answer: a connection that came in before the stop, perhaps from a proxy
/// that had not heard of it yet, has so long for its first request. A request follows its connection
/// within a round trip or not at all.
const FIRST_REQUEST_MAX: Duration = Duration::from_millis(250);

/// How long a client may go on sending after an answer that ends the connection: one that reads while it
/// sends has stopped within a round trip.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// As much as a socket gives at once.
const LINGER_BUFFER_BYTES: usize = 16 * 1024;

/// An accepted connection's surroundings.
pub struct Connection {
    /// Answers its requests.
    pub service: ApiService,
    /// Its bounds.
    pub limits: Limits,
    /// Answers say `Connection: close`: the stop is near, and clients do better elsewhere.
    pub closing: CancellationToken,
    /// No further request is taken.
    pub stop: CancellationToken,
    /// It ends at once.
    pub cut: CancellationToken,
    /// Its place among the connections allowed, held while it lasts.
    pub slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Serves `stream` until it ends, is upgraded, or is cut.
    pub async fn serve(self, stream: TcpStream) {
        let _slot = self.slot;
        // Answers are written whole; waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the client is gone");
            return;
        }
        let (limits, cut) = (self.limits, self.cut);
        let (write_limit, head_limit) = (limits.write_timeout, limits.head_timeout);
        let turns = RequestPhase::default();
        let stream = ClientStream::new(stream, write_limit, head_limit, turns.clone());
        let answering = Arc::new(Answering {
            service: self.service,
            closing: self.closing,
            stop: self.stop.clone(),
            turns,
            begun: CancellationToken::new(),
            has_unread: AtomicBool::new(false),
            upgrade: Mutex::new(None),
        });
        let begun = answering.begun.clone();
        let asked = Arc::clone(&answering);
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request: Request<Incoming>| Arc::clone(&asked).answer(request)),
            )
            .with_upgrades();
        let stop = async {
            self.stop.cancelled().await;
            // Either it has begun, or it has had its time.
            let _ = timeout(FIRST_REQUEST_MAX, begun.cancelled()).await;
        };
        let running = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = stop => None,
        };
        let ended = if let Some(ended) = running {
            ended
        } else {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                biased;
                ended = &mut connection => ended,
                () = cut.cancelled() => return,
            }
        };
        let (stream, unparsed) = match connection.into_parts() {
            Some(parts) => (parts.io.into_inner(), parts.read_buf),
            None => match answering.refused_upgrade().await {
                Some(stream) => (stream, Bytes::new()),
                // Upgraded, and its new owner's.
                None => return,
            },
        };
        let end = End {
            stream,
            unparsed,
            has_unread: answering.has_unread.load(Ordering::Relaxed),
        };
        tokio::select! {
            biased;
            () = cut.cancelled() => {}
            () = end.settle(ended, head_limit) => {}
        }
    }
}

/// What answers the requests of one connection.
struct Answering {
    service: ApiService,
    closing: CancellationToken,
    stop: CancellationToken,
    turns: RequestPhase,
    /// Cancelled by the first request.
    begun: CancellationToken,
    /// The last answer left something of its request unread.
    has_unread: AtomicBool,
    /// The upgrade that this request wanted: the library gives the stream to it also where it is refused.
    upgrade: Mutex<Option<OnUpgrade>>,
}

impl Answering {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        self.begun.cancel();
        self.turns.answer();
        let upgrade = request.extensions().get::<OnUpgrade>().cloned();
        let mut response = self.service.handle(request.map(Body::new)).await;
        if response.extensions().get::<Unread>().is_some() {
            self.has_unread.store(true, Ordering::Relaxed);
            *self.upgrade.lock() = upgrade;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // The server's turn from here on: what comes is no head of a request.
            return Ok(response);
        }
        self.turns.ask();
        // The library says so too, but not of what it answers at once.
        if self.closing.is_cancelled() || self.stop.is_cancelled() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    /// The stream of a connection whose last answer refused an upgrade and left something unread.
    async fn refused_upgrade(&self) -> Option<ClientStream<TcpStream>> {
        let upgrade = self.upgrade.lock().take()?;
        let upgraded = upgrade.await.ok()?;
        let parts = upgraded
            .downcast::<TokioIo<ClientStream<TcpStream>>>()
            .ok()?;
        Some(parts.io.into_inner())
    }
}

/// A connection on which the library has done its work.
struct End {
    stream: ClientStream<TcpStream>,
    /// What has come of a request that was never answered.
    unparsed: Bytes,
    has_unread: bool,
}

impl End {
    /// Says what is still to be said, and takes what is still on its way.
    async fn settle(self, ended: hyper::Result<()>, head_limit: Duration) {
        let (mut is_misread, mut is_timed_out) = (false, self.stream.is_head_timed_out());
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
            // The library has said so itself.
            is_misread = error.is_parse();
            is_timed_out |= error.is_timeout() && !self.unparsed.is_empty();
        }
        let mut stream = self.stream.into_inner();
        if is_timed_out {
            answer_slow_head(&mut stream, &path_in(&self.unparsed), head_limit).await;
        }
        if is_timed_out || is_misread || self.has_unread {
            linger(&mut stream).await;
        }
    }
}

/// Takes what a client still sends that has got its answer already, until it has seen that this side is
/// closed (RFC 9112, 9.6).
async fn linger(stream: &mut TcpStream) {
    // Done already, as a rule.
    let _ = stream.shutdown().await;
    let mut taken = vec![0; LINGER_BUFFER_BYTES];
    let mut left = DRAIN_BYTES_MAX;
    let all = async {
        while let Ok(bytes @ 1..) = stream.read(&mut taken).await {
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER_MAX, all).await;
}

/// The path in the beginning of a request, as far as it has come.
fn path_in(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let target = head.lines().next().and_then(|line| line.split(' ').nth(1));
    let path = target.and_then(|target| target.split('?').next());
    path.unwrap_or("/").into()
}

/// A client that began a request and didn't finish its head is told so; one that was idle isn't.
async fn answer_slow_head(stream: &mut TcpStream, path: &str, limit: Duration) {
    let detail = format!(
        "the head of the request took longer than {} s",
        limit.as_secs()
    );
    let problem = Problem::new(Code::RequestTimeout, detail).at(path);
    let body = serde_json::to_string(problem.body()).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // It fits the socket's buffer; a client that has gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
