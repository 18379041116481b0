//! Reads the part of a request's body that its handler left unread. A client or a proxy that is still sending
//! reads no answer, and closing then resets the connection and loses the answer. So the rest is read up to a
//! limit after every answer; beyond the limit the answer says `Connection: close`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

/// How much of an unwanted body is read: sixteen times the largest body that a handler reads.
pub const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long reading an unwanted body may take.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Marks an answer whose client may go on sending a body that nobody reads.
#[derive(Clone, Copy, Debug)]
pub struct Unread;

/// Gets a request's body back when its handler has dropped it.
pub struct Unwanted {
    rest: Arc<Mutex<Option<Rest>>>,
    /// Whether the client sends no body before it gets `100 Continue`.
    awaits_word: bool,
}

/// A body, with how far it was read.
struct Rest {
    body: Body,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    Begun,
    Ended,
    Failed,
}

/// A body on loan to a handler.
struct Lent {
    /// `None` once given back.
    rest: Option<Rest>,
    back: Arc<Mutex<Option<Rest>>>,
}

/// The request with a body that comes back; the request unchanged if it has no body, or if its connection goes
/// on without it: HTTP/2 tells the client to stop.
pub fn lend(request: Request<Body>) -> (Request<Body>, Option<Unwanted>) {
    if request.body().is_end_stream() || request.version() == Version::HTTP_2 {
        return (request, None);
    }
    // HTTP/1.0 doesn't know the header (RFC 9110, 10.1.1).
    let awaits_word =
        request.version() > Version::HTTP_10 && request.headers().contains_key(header::EXPECT);
    let back = Arc::default();
    let unwanted = Unwanted {
        rest: Arc::clone(&back),
        awaits_word,
    };
    let mut request = request.map(|body| {
        let progress = Progress::Untouched;
        let rest = Some(Rest { body, progress });
        Body::new(Lent { rest, back })
    });
    // A request with a body can't change the protocol; a server may ignore the upgrade (7.8).
    request.headers_mut().remove(header::UPGRADE);
    (request, Some(unwanted))
}

impl Unwanted {
    /// Reads the rest of the body, or says in `response` that the connection ends.
    pub async fn settle(self, response: &mut Response) {
        let rest = self.rest.lock().take();
        let is_read = match rest {
            Some(rest) => rest.drain(self.awaits_word).await,
            None => false,
        };
        if !is_read {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response.extensions_mut().insert(Unread);
        }
    }
}

impl Rest {
    /// Reads the rest of the body; whether it was read to its end.
    async fn drain(mut self, awaits_word: bool) -> bool {
        match self.progress {
            Progress::Ended => return true,
            Progress::Failed => return false,
            // Reading would send `100 Continue` and so ask for the body.
            Progress::Untouched if awaits_word => return false,
            Progress::Untouched | Progress::Begun => {}
        }
        let all = async {
            let mut taken = 0;
            while let Some(frame) = self.body.frame().await {
                let Ok(frame) = frame else { return false };
                taken += frame.data_ref().map_or(0, Bytes::len);
                if taken > DRAIN_BYTES_MAX {
                    return false;
                }
            }
            true
        };
        timeout(DRAIN_MAX, all).await.unwrap_or(false)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut rest.body).poll_frame(cx);
        rest.progress = match &polled {
            // A body that has failed ends as well, and must stay failed.
            _ if rest.progress == Progress::Failed => Progress::Failed,
            Poll::Ready(None) => Progress::Ended,
            Poll::Ready(Some(Err(_))) => Progress::Failed,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => Progress::Begun,
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest
            .as_ref()
            .is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest
            .as_ref()
            .map_or_else(SizeHint::default, |rest| rest.body.size_hint())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.lock() = self.rest.take();
    }
}
