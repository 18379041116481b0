//! `GET /api/v1/orders/{id}/events`: one order as server-sent events (WHATWG HTML, "Server-sent
//! events"). `event:` is the message's type, `id:` the version, `data:` the message.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::OptionFuture;
use futures_util::{StreamExt as _, future, stream};
use metrics::Histogram;
use smallvec::SmallVec;
use tokio::time::Instant;
use trackops_domain::access::Caller;
use trackops_domain::ids::{OrderId, Version};

use super::messages::problem_message;
use super::state::{ConnectionPermit, TrackState};
use super::subscriptions::Subscriptions;
use super::tracking_link;
use crate::api::caller::By;
use crate::api::error_answers::refusals;
use crate::api::etag;
use crate::api::parameters;
use crate::api::params::{OrderPath, Query, invalid};
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::auth::Ending;
use crate::auth::tracking_links::TrackingLinks;
use crate::live::backlog::{Frame, FrameKind};
use crate::live::queue::Queue;
use crate::telemetry::names;

/// Frames that may be on their way to the socket before the stream checks that they are written.
const UNWRITTEN_MAX: usize = 64;

/// The header with the version that the client has.
const LAST_EVENT_ID: &str = "last-event-id";

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The shortest time after which a client comes back to a stream that has ended. The longest is twice as
/// long, so that the clients of a stopping replica don't all come back at once.
const RECONNECT: Duration = Duration::from_secs(1);

refusals!(Refusals = ORDER, UNCONDITIONAL, CONDITIONS);

/// An order's snapshots, updates and courier positions as they come.
///
/// Without `Last-Event-ID` it begins with a snapshot; with one, with the version after it. The
/// stream goes on until the client leaves or this replica stops. Where it can't begin just now, it has one
/// event `problem`, and `retry` says when to come back: a browser's `EventSource` gives up for ever on any
/// other answer. What won't pass, such as an unknown order, is an error as everywhere.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/events", tag = "live", operation_id = "streamOrderEvents",
    params(parameters::OrderId, parameters::LastEventId, parameters::Since),
    responses(
        (status = 200, description =
            "Events `snapshot`, `update`, `location` and `problem`; `id` is the version, `data` one JSON object",
            content_type = "text/event-stream", body = String),
        (status = 204, description = "The client has the final version: nothing will follow"),
        Refusals)
)]
pub async fn stream_order_events(
    State(state): State<TrackState>,
    OrderPath(order): OrderPath,
    By(caller): By,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    etag::refuse_all(&headers)?;
    let source = Source {
        caller: &caller,
        order,
        since: since(&headers, &uri)?,
        ending: state.ending(&headers),
        links: None,
    };
    begun(open(state, source).await, uri.path(), Some(order))
}

/// What a stream shows.
pub(super) struct Source<'a> {
    /// To whom.
    pub caller: &'a Caller,
    /// Of which order.
    pub order: OrderId,
    /// After which version.
    pub since: Option<Version>,
    /// The stream ends with the credential: the client comes back with another.
    pub ending: Option<Ending>,
    /// Set for an order that is followed by its tracking link: the stream shows no more than a link does, and ends
    /// with it.
    pub links: Option<TrackingLinks>,
}

/// The version that the client has.
pub(super) fn since(headers: &HeaderMap, uri: &Uri) -> Result<Option<Version>, Problem> {
    match last_event_id(headers)? {
        Some(version) => Ok(Some(version)),
        None => since_parameter(uri),
    }
}

/// The answer of a stream that was `opened`, or that couldn't be opened. What will pass is an event of the stream.
pub(super) fn begun(
    opened: Result<Response, Problem>,
    path: &str,
    order: Option<OrderId>,
) -> Result<Response, Problem> {
    opened.or_else(|problem| match problem.passes_after() {
        Some(wait) => Ok(not_now(&problem.at(path), order, wait)),
        None => Err(problem),
    })
}

/// Opens the stream.
pub(super) async fn open(state: TrackState, source: Source<'_>) -> Result<Response, Problem> {
    let Source {
        caller,
        order,
        since,
        ending,
        links,
    } = source;
    let place = state.admit()?;
    let mut subscriptions = state.subscriptions();
    subscriptions.add()?;
    let (hub, limits) = (Arc::clone(&state.hub), state.limits.queue);
    let queue = match links {
        Some(_) => Queue::of_tracking(hub, limits),
        None => Queue::with_limits(hub, limits),
    };
    queue
        .follow(order, since)
        .map_err(|e| Problem::new(Code::TooManySubscriptions, e.to_string()))?;
    let current = state
        .subscribe(caller, order, since, Arc::clone(&queue))
        .await?;
    if links
        .as_ref()
        .is_some_and(|links| links.has_ended(&current))
    {
        return Err(tracking_link::not_found());
    }
    if current.status().is_final() && since == Some(current.version()) {
        // Tells the browser to stop coming back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = Events {
        ending,
        links,
        queue,
        push_duration: metrics::histogram!(names::LIVE_PUSH_DURATION),
        unwritten: SmallVec::new(),
        _place: place,
        _subscriptions: subscriptions,
        state,
    };
    // The first chunk also makes a proxy in between pass on the head at once.
    let begun = stream::once(future::ready(Ok(retry(RECONNECT).into())));
    let events = stream::unfold(events, Events::next);
    Ok(stream_of(Body::from_stream(begun.chain(events))))
}

/// A stream that only says why the order can't be followed just now, and when to come back.
fn not_now(problem: &Problem, order: Option<OrderId>, wait: Duration) -> Response {
    let mut text = retry(wait).into_bytes();
    text.extend_from_slice(b"event: problem\ndata: ");
    text.extend_from_slice(&problem_message(problem, order));
    text.extend_from_slice(b"\n\n");
    stream_of(text.into())
}

/// The `retry` field: come back after `wait` to twice `wait`.
fn retry(wait: Duration) -> String {
    let wait = wait.mul_f64(rand::random_range(1.0..2.0));
    format!("retry: {}\n\n", wait.as_millis())
}

/// The headers keep proxies from buffering the stream (`X-Accel-Buffering` is nginx's header for that),
/// storing it, or compressing it.
fn stream_of(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (X_ACCEL_BUFFERING, "no"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, body).into_response()
}

fn since_parameter(uri: &Uri) -> Result<Option<Version>, Problem> {
    let query = Query::of(uri);
    let Some(text) = query.get("since")? else {
        return Ok(None);
    };
    let version = text
        .parse()
        .map_err(|_| invalid("since must be a version"))?;
    Ok(Some(Version(version)))
}

/// The version that the client says it has, if it names one.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Version>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    let version = value.to_str().ok().and_then(|text| text.parse().ok());
    let version = version.ok_or_else(|| {
        Problem::new(
            Code::InvalidHeader,
            "Last-Event-ID must be the id of an event of this stream",
        )
    })?;
    Ok(Some(Version(version)))
}

struct Events {
    /// The stream ends with the credential: the client comes back with another.
    ending: Option<Ending>,
    /// As in [`Source::links`].
    links: Option<TrackingLinks>,
    queue: Arc<Queue>,
    state: TrackState,
    push_duration: Histogram,
    /// The commit times of the frames that were given to the connection and may not be written yet.
    unwritten: SmallVec<[Instant; 4]>,
    _place: ConnectionPermit,
    _subscriptions: Subscriptions,
}

impl Events {
    /// The next piece of the body. Asked for only while the connection takes more, so a slow
    /// reader's frames wait, bounded, in the queue.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        while !self.state.shutdown.is_cancelled() {
            // After a gap in the sequence the stream ends, and the client comes back with the version that it
            // has.
            let waiting = self.queue.take().ok()?;
            if waiting.is_none() || self.unwritten.len() >= UNWRITTEN_MAX {
                self.written().await;
            }
            if let Some(frame) = waiting {
                self.unwritten.extend(frame.committed);
                return Some((Ok(encode(&frame)), self));
            }
            tokio::select! {
                () = self.queue.ready() => {}
                () = self.state.shutdown.cancelled() => return None,
                Some(_) = OptionFuture::from(self.ending.as_mut().map(Ending::ended)) => return None,
                () = tokio::time::sleep(self.state.limits.keep_alive) => {
                    if self.has_link_ended() {
                        return None;
                    }
                    return Some((Ok(Bytes::from_static(b": keep-alive\n\n")), self));
                }
            }
        }
        None
    }

    fn has_link_ended(&self) -> bool {
        let links = self.links.as_ref();
        links.is_some_and(|links| links.has_ended_after(self.queue.final_at()))
    }

    /// Lets the connection write the frames that it has, and records how long each took. The connection asks
    /// for more before it writes, so this yields once. Frames that a full socket doesn't take then count as
    /// written.
    async fn written(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        tokio::task::yield_now().await;
        for committed in self.unwritten.drain(..) {
            self.push_duration.record(committed.elapsed());
        }
    }
}

fn encode(frame: &Frame) -> Bytes {
    let name = match frame.kind {
        FrameKind::Snapshot => "snapshot",
        FrameKind::Update => "update",
        FrameKind::Location => "location",
    };
    let mut head = format!("event: {name}\n");
    if let Some(version) = frame.version {
        // Writing to a String has no way to fail.
        let _ = writeln!(head, "id: {version}");
    }
    head.push_str("data: ");
    let mut event = head.into_bytes();
    // JSON written by serde has no line breaks, which would end the field.
    event.reserve_exact(frame.json.len() + 2);
    event.extend_from_slice(&frame.json);
    event.extend_from_slice(b"\n\n");
    event.into()
}
