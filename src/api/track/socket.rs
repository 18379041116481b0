//! `GET /api/v1/track`: one WebSocket (RFC 6455) follows many orders.
//!
//! Each socket has one task. It reads the next message only when the last is answered, so TCP's window holds
//! back a client that floods. An idle socket holds only this task's small state and tungstenite's read
//! buffer.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use metrics::Histogram;
use secrecy::ExposeSecret as _;
use smallvec::SmallVec;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_tungstenite::tungstenite;
use trackops_domain::access::Caller;
use trackops_domain::ids::{OrderId, Version};

use super::messages::{ClientMessage, Wanted, error_message, parse};
use super::state::TrackState;
use super::subscriptions::Subscriptions;
use crate::api::audited;
use crate::api::caller::By;
use crate::api::counted::Counted;
use crate::api::credential;
use crate::api::error_answers::refusals;
use crate::api::per_address::AddressPermit;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::auth::Ending;
use crate::limits::Class;
use crate::live::queue::Queue;
use crate::telemetry::names;

/// The path of the WebSocket.
const TRACK_PATH: &str = "/api/v1/track";

/// Small, because the library's own buffer is 128 KiB and zero-filled at the first read of every socket.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Frames are gathered up to this before they go to the kernel.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// The most bytes that may be unwritten: several times the largest snapshot (about 25 KiB).
const WRITE_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// Largest message of a client: an `authenticate` with the largest credential. A `subscribe` has about 100 bytes.
const MESSAGE_BYTES_MAX: usize = 9 * 1024;

/// Largest frame that is read to its end, so that a client whose message is too large learns why. A
/// connection that is closed with unread data is reset, and the reset can overtake the close frame.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The credential has ended: the client comes back with another.
const CREDENTIAL_ENDED: u16 = 4401;

/// Frames written before the socket looks at its reading side again.
const WRITE_BATCH: usize = 64;

/// Pings without any sign of life after which the peer is given up.
const UNANSWERED_PINGS_MAX: u8 = 2;

refusals!(Refusals =; UpgradeRequired, ForeignOrigin, Overloaded, Unavailable);

/// A WebSocket on which orders are followed.
///
/// The client sends `{"type":"subscribe","orderId":…,"since":12}`,
/// `{"type":"unsubscribe","orderId":…}` and `{"type":"authenticate","token":…}`; the server `snapshot`, `update`, `location`
/// and `error`. A browser can send no `Authorization` with a socket: it asks for the subprotocols `trackops.v1` and
/// `trackops.bearer.<the credential in base64url>`, and the server takes the first. The server closes with 4401 when the
/// credential has ended, and with 1012 when it stops.
#[utoipa::path(
    get, path = "/api/v1/track", tag = "live", operation_id = "openTrackSocket",
    responses(
        (status = 101, description = "A WebSocket (RFC 6455)"),
        Refusals)
)]
pub async fn open_socket(
    State(state): State<TrackState>,
    By(caller): By,
    headers: HeaderMap,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| refused(&rejection))?;
    let place = state.admit()?;
    let ending = state.ending(&headers);
    let counted = extensions.get::<Counted>().cloned();
    // The connection ends for the server with its upgrade, and goes on counting for its address.
    let of_address = extensions.get::<Arc<AddressPermit>>().cloned();
    let response = upgrade
        .protocols([credential::PROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let session = Session {
                caller,
                counted,
                ending,
            };
            Connection::new(socket, state, session).run().await;
            drop((place, of_address));
        });
    Ok(response)
}

fn refused(rejection: &WebSocketUpgradeRejection) -> Problem {
    use WebSocketUpgradeRejection as Rejection;
    let detail = match rejection {
        Rejection::WebSocketKeyHeaderMissing(_) => {
            return Problem::new(Code::BadRequest, rejection.body_text());
        }
        Rejection::InvalidWebSocketVersionHeader(_) => rejection.body_text(),
        // HEAD and HTTP/2 come here, too.
        _ => "a WebSocket is opened by GET of HTTP/1.1 with an Upgrade".into(),
    };
    // RFC 9110 section 15.5.22 and RFC 6455 section 4.4: say what would be accepted.
    Problem::new(Code::UpgradeRequired, detail)
        .header(header::UPGRADE, HeaderValue::from_static("websocket"))
        .header(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        )
}

/// How a connection ends.
enum End {
    /// The peer has left or is given up.
    Gone,
    /// This side closes and says why.
    Close {
        code: u16,
        reason: &'static str,
        /// Set if the peer may have sent data that won't be read. The connection is then held a moment, so
        /// that the reset doesn't overtake the close frame.
        linger: bool,
    },
}

impl End {
    const fn close(code: u16, reason: &'static str) -> Self {
        Self::Close {
            code,
            reason,
            linger: false,
        }
    }
}

/// A subscription under way; it resolves to the order and the outcome.
type Subscribing = BoxFuture<'static, (OrderId, Result<(), Problem>)>;

/// On whose behalf a socket is open.
struct Session {
    caller: Caller,
    /// Counts what is asked, where anything has a limit.
    counted: Option<Counted>,
    ending: Option<Ending>,
}

struct Connection {
    socket: WebSocket,
    state: TrackState,
    caller: Caller,
    counted: Option<Counted>,
    ending: Option<Ending>,
    subscriptions: Subscriptions,
    queue: Arc<Queue>,
    push_duration: Histogram,
    /// While it is set, nothing more is read.
    subscribing: Option<Subscribing>,
    unanswered_pings: u8,
}

impl Connection {
    fn new(socket: WebSocket, state: TrackState, session: Session) -> Self {
        let Session {
            caller,
            counted,
            ending,
        } = session;
        Self {
            socket,
            counted,
            subscriptions: state.subscriptions(),
            queue: Queue::with_limits(Arc::clone(&state.hub), state.limits.queue),
            push_duration: metrics::histogram!(names::LIVE_PUSH_DURATION),
            subscribing: None,
            unanswered_pings: 0,
            state,
            caller,
            ending,
        }
    }

    async fn run(mut self) {
        let Err(end) = self.serve().await;
        if let End::Close {
            code,
            reason,
            linger,
        } = end
        {
            self.close(code, reason, linger).await;
        }
    }

    /// Serves the socket until it ends.
    async fn serve(&mut self) -> Result<Infallible, End> {
        let shutdown = self.state.shutdown.clone();
        let mut stopped = pin!(shutdown.cancelled());
        let period = self.state.limits.ping_interval;
        let mut ping = time::interval_at(Instant::now() + period, period);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_subscribing = self.subscribing.is_some();
            tokio::select! {
                () = &mut stopped => {
                    return Err(End::close(close_code::RESTART, "this replica is stopping"));
                }
                Some(refusal) = OptionFuture::from(self.ending.as_mut().map(Ending::ended)) => {
                    let reason = match refusal {
                        refusal if refusal.is_end_of_time() => "the credential has expired",
                        _ => "the credential was revoked",
                    };
                    return Err(End::close(CREDENTIAL_ENDED, reason));
                }
                () = self.queue.ready() => self.write_frames().await?,
                Some((order, outcome)) = OptionFuture::from(self.subscribing.as_mut()) => {
                    self.subscribing = None;
                    if let Err(problem) = outcome {
                        self.unfollow(order);
                        self.write_problem(problem, Some(order)).await?;
                    }
                }
                message = self.socket.recv(), if !is_subscribing => {
                    let message = message.ok_or(End::Gone)?.map_err(end_of)?;
                    self.unanswered_pings = 0;
                    self.handle(message).await?;
                }
                _ = ping.tick() => self.ping().await?,
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                let problem = Problem::new(Code::BadRequest, "messages are text, not binary");
                return self.write_problem(problem, None).await;
            }
            // The library answers pings; that a pong arrived is enough.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => {
                // The library has queued the answer to the close frame already.
                let _ = time::timeout(self.state.limits.close_timeout, self.socket.flush()).await;
                return Err(End::Gone);
            }
        };
        match parse(&text) {
            Ok(ClientMessage::Authenticate(credential)) => {
                return self.renew(credential.expose_secret()).await;
            }
            Ok(ClientMessage::Order(order, Wanted::Unsubscribe)) => self.unfollow(order),
            Ok(ClientMessage::Order(order, Wanted::Subscribe { since })) => {
                match self.follow(order, since).await {
                    Ok(()) => self.subscribing = Some(self.subscribe(order, since)),
                    Err(problem) => return self.write_problem(problem, Some(order)).await,
                }
            }
            Err(problem) => return self.write_problem(problem, None).await,
        }
        Ok(())
    }

    /// Follows `order`, as far as the limits and bounds go. A refusal leaves what was followed before.
    async fn follow(&mut self, order: OrderId, since: Option<Version>) -> Result<(), Problem> {
        if let Some(counted) = &self.counted {
            let counted = counted.admit_further(Class::Subscribe, &self.caller);
            counted.await?;
        }
        if !self.queue.follows(order) {
            self.subscriptions.add()?;
        }
        self.queue.follow(order, since).map_err(|error| {
            self.subscriptions.shrink_to(self.queue.followed_count());
            Problem::new(Code::TooManySubscriptions, error.to_string())
        })
    }

    fn unfollow(&mut self, order: OrderId) {
        self.queue.unfollow(order);
        self.subscriptions.shrink_to(self.queue.followed_count());
    }

    fn subscribe(&self, order: OrderId, since: Option<Version>) -> Subscribing {
        let state = self.state.clone();
        let caller = self.caller.clone();
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            let outcome = state.subscribe(&caller, order, since, queue).await;
            (order, outcome.map(|_| ()))
        })
    }

    /// Goes on with another credential of the same caller. A refused one changes nothing: the first goes on until
    /// it ends.
    async fn renew(&mut self, credential: &str) -> Result<(), End> {
        let Some(ending) = &mut self.ending else {
            return Ok(());
        };
        // Each of these may ask the database, as a request does.
        if let Some(counted) = &self.counted {
            let admitted = counted.admit_further(Class::Subscribe, &self.caller).await;
            let refused = admitted.err().or_else(|| counted.refuse_lookup());
            if let Some(problem) = refused {
                return self.write_problem(problem, None).await;
            }
        }
        let problem = match ending.renew(&self.caller, credential).await {
            Ok(true) => return Ok(()),
            Ok(false) => Problem::new(
                Code::Forbidden,
                "the credential is another caller's: open another socket for it",
            ),
            Err(refusal) => {
                if let Some(counted) = &self.counted {
                    counted.guessed_further().await;
                }
                credential::refused(refusal)
            }
        };
        self.write_problem(problem, None).await
    }

    /// Writes the waiting frames, at most [`WRITE_BATCH`].
    async fn write_frames(&mut self) -> Result<(), End> {
        let mut committed = SmallVec::<[Instant; 4]>::new();
        let written = time::timeout(self.state.limits.write_timeout, async {
            for _ in 0..WRITE_BATCH {
                let frame = self.queue.take();
                let frame =
                    frame.map_err(|_| End::close(close_code::ERROR, "subscribe again, since"))?;
                let Some(frame) = frame else { break };
                committed.extend(frame.committed);
                self.socket.feed(text(frame.json)).await.map_err(end_of)?;
            }
            self.socket.flush().await.map_err(end_of)
        });
        written.await.unwrap_or(Err(End::Gone))?;
        for committed in committed {
            self.push_duration.record(committed.elapsed());
        }
        Ok(())
    }

    async fn write_problem(&mut self, problem: Problem, order: Option<OrderId>) -> Result<(), End> {
        if let Some(denied) = problem.denial() {
            let (audit, who) = (&self.state.auth.audit, self.caller.audited());
            let target = order.map_or_else(|| TRACK_PATH.to_owned(), |order| order.to_string());
            audited::deny(audit, Some(&who), "subscribe", &target, denied);
        }
        let message = text(error_message(&problem.at(TRACK_PATH), order));
        self.write(message).await
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered_pings >= UNANSWERED_PINGS_MAX {
            return Err(End::Gone);
        }
        self.unanswered_pings += 1;
        self.write(Message::Ping(Bytes::new())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        let sent = time::timeout(self.state.limits.write_timeout, self.socket.send(message));
        sent.await.map_err(|_| End::Gone)?.map_err(end_of)
    }

    /// Closes with a reason, and waits a moment for the peer to close too.
    async fn close(mut self, code: u16, reason: &'static str, linger: bool) {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        let limit = self.state.limits.close_timeout;
        let _ = time::timeout(limit, async {
            if self.socket.send(close).await.is_err() {
                return;
            }
            if linger {
                return std::future::pending().await;
            }
            // Messages before the peer's close frame were sent before it knew of ours; they are dropped.
            while let Some(Ok(_)) = self.socket.recv().await {}
        })
        .await;
    }
}

/// A text message; serde writes UTF-8 only.
fn text(json: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(json).unwrap_or_default())
}

/// What an error of the library means for the connection.
fn end_of(error: axum::Error) -> End {
    use tungstenite::Error as E;
    let error = error.into_inner();
    let (code, reason) = match error.downcast_ref::<E>() {
        Some(E::Capacity(_)) => (close_code::SIZE, "the message is too large"),
        Some(E::Utf8(_)) => (close_code::INVALID, "the text is not UTF-8"),
        Some(E::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
            return End::Gone;
        }
        Some(E::Protocol(_)) => (close_code::PROTOCOL, "not as RFC 6455 has it"),
        _ => return End::Gone,
    };
    End::Close {
        code,
        reason,
        linger: true,
    }
}
