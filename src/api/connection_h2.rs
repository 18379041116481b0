//! One HTTP/2 connection (RFC 9113): many requests at the same time, until it is idle for too long, its client
//! is gone, or the server stops. What [`super::connection`] does by bytes for HTTP/1.1, frames do here: the
//! library answers a head that breaks a rule by resetting its stream, and tells a client whose body isn't
//! wanted to stop. A slow head holds up the answer to the ping, and so ends the connection.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client_address::Ends;
use super::client_stream::ClientStream;
use super::linger::{LINGER_MAX, linger};
use super::server_limits::{FIRST_REQUEST_MAX, HEAD_BYTES_MAX, Limits};
use super::service::ApiService;
use super::streams::{Paced, Streams};

/// Streams that a client may have open at once. Browsers and proxies use about a hundred; a client that wants
/// more waits or opens another connection.
const STREAMS_MAX: u32 = 128;

/// Unread bytes of one stream, and of all streams of a connection: the largest body that a handler reads.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of one stream's answer that wait to be written.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Streams that a client has reset before they were looked at. More at once is an attack ("rapid reset",
/// CVE-2023-44487), and ends the connection.
const RESET_UNSEEN_MAX: usize = 20;

/// Streams of one connection that broke a rule. With more the connection ends: each costs us a reset, so a
/// client could have us work for nothing (CVE-2025-8671).
const RULES_BROKEN_MAX: usize = 1024;

/// What a connection is served with; see [`super::connection::Connection`].
pub struct Http2 {
    /// Answers its requests.
    pub service: ApiService,
    /// Its bounds.
    pub limits: Limits,
    /// Its ends.
    pub ends: Ends,
    /// Cancelled when the stop is near.
    pub closing: CancellationToken,
    /// Cancelled at the stop.
    pub stop: CancellationToken,
    /// Cancelled when time is up.
    pub cut: CancellationToken,
}

impl Http2 {
    /// Serves `stream` until it ends or is cut.
    pub async fn serve(self, mut stream: ClientStream<TcpStream>) {
        let ended = CancellationToken::new();
        let _ends_streams = ended.clone().drop_guard();
        let streams = Streams::new(ended, self.limits.write_timeout);
        let begun = CancellationToken::new();
        {
            let (service, ends) = (Arc::new(self.service), self.ends);
            let mut connection = pin!(builder(&streams, &self.limits).serve_connection(
                TokioIo::new(&mut stream),
                service_fn(|request| {
                    begun.cancel();
                    answer(Arc::clone(&service), request, ends)
                }),
            ));
            let mut leaving = pin!(leaving(&self.closing, &self.stop, &begun));
            let mut is_leaving = false;
            let mut idle_limit = self.limits.idle_timeout;
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut connection => {
                        if let Err(error) = outcome {
                            tracing::debug!(%error, "connection ended");
                        }
                        break;
                    }
                    () = self.cut.cancelled() => return,
                    () = &mut leaving, if !is_leaving => {}
                    // A client that is told to leave and has nothing under way leaves within a round trip.
                    () = streams.idle(idle_limit) => if is_leaving { break },
                }
                is_leaving = true;
                idle_limit = LINGER_MAX;
                connection.as_mut().graceful_shutdown();
            }
        }
        let mut stream = stream.into_inner();
        tokio::select! {
            biased;
            () = self.cut.cancelled() => {}
            () = linger(&mut stream) => {}
        }
    }
}

fn builder(streams: &Streams, limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(RULES_BROKEN_MAX)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}

async fn answer(
    service: Arc<ApiService>,
    request: Request<Incoming>,
    ends: Ends,
) -> Result<Response<Paced>, Infallible> {
    let response = service.handle(request.map(Body::new), ends).await;
    Ok(response.map(Paced::new))
}

/// Returns when the client is to be told to go elsewhere: once the stop is near and it has been served, or at
/// the stop, for which a first request that is on its way is waited.
async fn leaving(closing: &CancellationToken, stop: &CancellationToken, begun: &CancellationToken) {
    let near = async {
        closing.cancelled().await;
        begun.cancelled().await;
    };
    let now = async {
        stop.cancelled().await;
        // Either outcome will do: a request has begun, or its time is up.
        let _ = timeout(FIRST_REQUEST_MAX, begun.cancelled()).await;
    };
    tokio::select! {
        () = near => {}
        () = now => {}
    }
}
