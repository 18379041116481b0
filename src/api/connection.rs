//! One connection: requests one after the other, until it ends or the server stops.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::problem_code::Code;
use super::server::Limits;
use super::service::ApiService;
use super::write_limit::WriteLimit;

/// The largest request head, and the most of a body that is read at once: twice what common
/// gateways let through.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Whoever was let in gets an answer: a connection that came in before the stop, perhaps from a proxy
/// that had not heard of it yet, has so long for its first request. A request follows its connection
/// within a round trip or not at all.
const FIRST_REQUEST_MAX: Duration = Duration::from_millis(250);

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
        let stream = WriteLimit::new(stream, self.limits.write_timeout);
        let service = self.service;
        let is_ending = {
            let (closing, stop) = (self.closing, self.stop.clone());
            move || closing.is_cancelled() || stop.is_cancelled()
        };
        let begun = CancellationToken::new();
        let answer = service_fn({
            let begun = begun.clone();
            move |request: Request<Incoming>| {
                let (service, is_ending) = (service.clone(), is_ending.clone());
                begun.cancel();
                async move {
                    let mut response: Response<Body> = service.handle(request.map(Body::new)).await;
                    // The library says so too, but not of what it answers at once.
                    if is_ending() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    Ok::<_, std::convert::Infallible>(response)
                }
            }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answer)
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
                () = self.cut.cancelled() => return,
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%error, "connection ended");
        if error.is_timeout()
            && let Some(parts) = connection.into_parts()
            && !parts.read_buf.is_empty()
        {
            let path = path_in(&parts.read_buf);
            let stream = parts.io.into_inner().into_inner();
            answer_slow_head(stream, &path, self.limits.head_timeout).await;
        }
    }
}

/// The path in the beginning of a request, as far as it has come.
fn path_in(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let target = head.lines().next().and_then(|line| line.split(' ').nth(1));
    let path = target.and_then(|target| target.split('?').next());
    path.unwrap_or("/").into()
}

/// A client that began a request and didn't finish its head is told so; one that was idle isn't.
async fn answer_slow_head(mut stream: TcpStream, path: &str, limit: Duration) {
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
