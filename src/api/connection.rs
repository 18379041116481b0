//! One connection: tells which HTTP its client speaks, and serves HTTP/1.1: requests one after the other, until
//! it ends or the server stops. Leaves HTTP/2 to [`super::connection_h2`].

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
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client_address::Ends;
use super::client_stream::{ClientStream, RequestPhase};
use super::connection_h2::Http2;
use super::linger::linger;
use super::opening::{Opening, Protocol};
use super::per_address::AddressPermit;
use super::problem::Problem;
use super::problem_code::Code;
use super::server_limits::{FIRST_REQUEST_MAX, HEAD_BYTES_MAX, Limits};
use super::service::ApiService;
use super::unread::Unread;

/// What an accepted connection is served with.
pub struct Connection {
    /// Answers its requests.
    pub service: ApiService,
    /// Its bounds.
    pub limits: Limits,
    /// Cancelled when the stop is near: from then on answers say `Connection: close`, so that clients go
    /// elsewhere.
    pub closing: CancellationToken,
    /// Cancelled at the stop: no further request is taken.
    pub stop: CancellationToken,
    /// Cancelled when time is up: the connection ends at once.
    pub cut: CancellationToken,
    /// Its connection permit, held until the connection ends.
    pub slot: OwnedSemaphorePermit,
    /// Its place among those of its address. A socket that it becomes holds it until that ends.
    pub place: Arc<AddressPermit>,
}

impl Connection {
    /// Serves `stream` until it ends, is upgraded, or is cut.
    pub async fn serve(self, mut stream: TcpStream) {
        // Answers are written whole; waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the client is gone");
            return;
        }
        let mut opening = Opening::default();
        let (idle_limit, head_limit) = (self.limits.idle_timeout, self.limits.head_timeout);
        let opened = tokio::select! {
            biased;
            opened = opening.read(&mut stream, idle_limit, head_limit) => opened,
            () = self.cut.cancelled() => return,
            () = self.first_request_missed() => return,
        };
        match opened {
            Ok(Protocol::Http1) => self.serve_http1(stream, opening).await,
            Ok(Protocol::Http2) => self.serve_http2(stream, opening).await,
            Err(error) => {
                tracing::debug!(%error, "a connection without a request");
                let is_slow = error.kind() == std::io::ErrorKind::TimedOut;
                if is_slow && !opening.arrived().is_empty() {
                    let told = async {
                        answer_slow_head(&mut stream, &path_in(opening.arrived()), head_limit)
                            .await;
                        linger(&mut stream).await;
                    };
                    tokio::select! {
                        biased;
                        () = self.cut.cancelled() => {}
                        () = told => {}
                    }
                }
            }
        }
    }

    /// Returns once the server has stopped, and the first request hasn't come in time.
    async fn first_request_missed(&self) {
        self.stop.cancelled().await;
        sleep(FIRST_REQUEST_MAX).await;
    }

    async fn serve_http2(self, stream: TcpStream, opening: Opening) {
        let (_slot, _place) = (self.slot, self.place);
        let turns = RequestPhase::default();
        // It stays the server's turn: only the frames tell heads from bodies.
        turns.answer();
        let ends = ends(&stream);
        let (write_limit, head_limit) = (self.limits.write_timeout, self.limits.head_timeout);
        let stream = ClientStream::new(stream, write_limit, head_limit, turns).after(opening);
        let served = Http2 {
            service: self.service,
            limits: self.limits,
            ends,
            closing: self.closing,
            stop: self.stop,
            cut: self.cut,
        };
        // Boxed: it is larger than the rest, and would make every connection as large.
        Box::pin(served.serve(stream)).await;
    }

    async fn serve_http1(self, stream: TcpStream, opening: Opening) {
        let _slot = self.slot;
        let (limits, cut) = (self.limits, self.cut);
        let (write_limit, head_limit) = (limits.write_timeout, limits.head_timeout);
        let turns = RequestPhase::default();
        let ends = ends(&stream);
        let stream =
            ClientStream::new(stream, write_limit, head_limit, turns.clone()).after(opening);
        let answering = Arc::new(Answering {
            service: self.service,
            ends,
            place: self.place,
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
            .max_buf_size(HEAD_BYTES_MAX as usize)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request: Request<Incoming>| Arc::clone(&asked).answer(request)),
            )
            .with_upgrades();
        let stop = async {
            self.stop.cancelled().await;
            // Either outcome will do: a request has begun, or its time is up.
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
                // Upgraded: the stream belongs to the handler now.
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

/// Answers the requests of one connection.
struct Answering {
    service: ApiService,
    ends: Ends,
    /// Its place among those of its address.
    place: Arc<AddressPermit>,
    closing: CancellationToken,
    stop: CancellationToken,
    turns: RequestPhase,
    /// Cancelled by the first request.
    begun: CancellationToken,
    /// Whether the last answer left a part of its request unread.
    has_unread: AtomicBool,
    /// The upgrade that this request wanted. The library hands the stream over through it even if the upgrade
    /// is refused.
    upgrade: Mutex<Option<OnUpgrade>>,
}

impl Answering {
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        self.begun.cancel();
        self.turns.answer();
        let upgrade = request.extensions().get::<OnUpgrade>().cloned();
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(Arc::clone(&self.place));
        }
        let mut response = self.service.handle(request.map(Body::new), self.ends).await;
        if response.extensions().get::<Unread>().is_some() {
            self.has_unread.store(true, Ordering::Relaxed);
            *self.upgrade.lock() = upgrade;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It stays the server's turn from here on: bytes that still come are no head of a request.
            return Ok(response);
        }
        self.turns.ask();
        // The library adds this header too, but not to an answer that it sends at once.
        if self.closing.is_cancelled() || self.stop.is_cancelled() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    /// The stream of a connection whose last answer refused an upgrade and left a part of the request unread.
    async fn refused_upgrade(&self) -> Option<ClientStream<TcpStream>> {
        let upgrade = self.upgrade.lock().take()?;
        let upgraded = upgrade.await.ok()?;
        let parts = upgraded
            .downcast::<TokioIo<ClientStream<TcpStream>>>()
            .ok()?;
        Some(parts.io.into_inner())
    }
}

/// A connection that the library has finished with.
struct End {
    stream: ClientStream<TcpStream>,
    /// The bytes that have arrived of a request that was never answered.
    unparsed: Bytes,
    has_unread: bool,
}

impl End {
    /// Answers a head that took too long, and takes what the client is still sending.
    async fn settle(self, ended: hyper::Result<()>, head_limit: Duration) {
        let (mut is_misread, mut is_timed_out) = (false, self.stream.is_head_timed_out());
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
            // The library has answered this itself.
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

fn ends(stream: &TcpStream) -> Ends {
    Ends {
        local: stream.local_addr().ok().map(|addr| addr.ip()),
        peer: stream.peer_addr().ok().map(|addr| addr.ip()),
    }
}

/// The path in the part of a request's head that has arrived.
fn path_in(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let target = head.lines().next().and_then(|line| line.split(' ').nth(1));
    let path = target.and_then(|target| target.split('?').next());
    path.unwrap_or("/").into()
}

/// Tells a client that it began a request and didn't finish the head in time. A client that was idle is told
/// nothing.
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
    // The answer fits the socket's buffer, and a client that has gone needs none.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
