//! The streams of one HTTP/2 connection (RFC 9113, 5): each is answered by a task of its own, which ends with
//! the connection, and when its client takes nothing of the answer for too long. Leaves the connection to
//! [`super::connection_h2`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// The most of an answer that is handed over at once. The library keeps it until the client has room for it,
/// also when the stream's task has ended.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

tokio::task_local! {
    /// The progress of the stream that this task answers.
    static PROGRESS: Arc<Progress>;
}

/// Runs the tasks of one connection's streams. Its clones share them.
#[derive(Clone, Debug)]
pub struct Streams {
    /// How many are open.
    open: watch::Sender<usize>,
    /// Cancelled at the end of the connection.
    ended: CancellationToken,
    write_limit: Duration,
}

impl Streams {
    /// For a connection that ends at `ended`. A client may take nothing of an answer for `write_limit`.
    pub fn new(ended: CancellationToken, write_limit: Duration) -> Self {
        Self {
            open: watch::Sender::default(),
            ended,
            write_limit,
        }
    }

    /// Returns once no stream has been open for `limit`.
    pub async fn idle(&self, limit: Duration) {
        let mut open = self.open.subscribe();
        loop {
            // The sender is here, so every wait ends by a change or by the limit.
            if *open.borrow_and_update() > 0 {
                let _ = open.changed().await;
            } else if timeout(limit, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let streams = self.clone();
        let open = Open::new(&self.open);
        tokio::spawn(async move {
            let progress = Arc::<Progress>::default();
            let answered = PROGRESS.scope(Arc::clone(&progress), stream);
            tokio::select! {
                biased;
                () = answered => {}
                () = streams.ended.cancelled() => {}
                () = progress.blocked(streams.write_limit) => {
                    tracing::debug!("a stream's client takes nothing");
                }
            }
            drop(open);
        });
    }
}

/// Counts a stream for as long as it lives.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|count| *count += 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Since when a part of the answer has been waiting for the client; `None` while this side has nothing to
/// send.
#[derive(Debug, Default)]
struct Progress(Mutex<Option<Instant>>);

impl Progress {
    /// Returns once a part has waited for `limit`.
    async fn blocked(&self, limit: Duration) {
        loop {
            let since = *self.0.lock();
            if since.is_some_and(|since| since.elapsed() >= limit) {
                return;
            }
            sleep_until(since.unwrap_or_else(Instant::now) + limit).await;
        }
    }
}

/// An answer's body, handed over in parts. The library asks for the next part once the client has room for
/// the last one.
pub struct Paced {
    body: Body,
    /// What is left of the body's last frame.
    rest: Bytes,
    progress: Arc<Progress>,
}

impl Paced {
    /// Must be called in the stream's task.
    pub fn new(body: Body) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            progress: PROGRESS.try_with(Arc::clone).unwrap_or_default(),
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        *self.progress.0.lock() = None;
        if self.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(CHUNK_BYTES_MAX);
        let part = self.rest.split_to(length);
        *self.progress.0.lock() = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}
