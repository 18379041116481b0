//! The stream of events of some orders, over as many connections as it takes.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use super::connection::Connection;
use super::message::{ClientMessage, LiveMessage};
use super::progress::{Next, Progress};
use crate::client::Client;
use crate::error::Error;
use crate::problem::Problem;
use crate::retry::{Backoff, RetryPolicy};

/// The most orders of one stream. All their subscriptions fit into a socket's smallest send buffer, so sending
/// them never waits for answers to be read.
pub const ORDERS_MAX: usize = 200;
/// After a connection that lasted this long, attempts and pauses are counted anew.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Which orders a stream follows, and how.
#[derive(Clone, Debug)]
pub struct LiveBuilder {
    client: Client,
    orders: Vec<(Uuid, Option<u32>)>,
    until_final: bool,
    reconnect: RetryPolicy,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveEvent {
    /// The server told something. Of one order, each version comes once and in order; only a snapshot may
    /// leave some out.
    Message {
        /// A snapshot, an update or a location.
        message: LiveMessage,
        /// Its JSON, with every field that the server sent.
        frame: String,
    },
    /// An order can't be followed, or the request as a whole makes no sense to the server. The order is left;
    /// the stream goes on with the others.
    Refused {
        /// Which; none if the server named none.
        order_id: Option<Uuid>,
        /// Why.
        problem: Box<Problem>,
    },
    /// The connection was lost. It is made again.
    Lost {
        /// Why.
        cause: String,
    },
    /// The connection could not be made again yet. There is another attempt.
    StillLost(Error),
    /// The connection was made again; the messages go on where they broke off.
    Reconnected,
}

/// Whether the server takes the caller's credential for none, or lets the caller do nothing.
fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Refused(problem) if matches!(problem.status, 401 | 403))
}

/// Live events of some orders. It does nothing while nobody waits in [`next`](Self::next): a reader that stays
/// away is left by the server.
pub struct LiveStream {
    client: Client,
    progress: Progress,
    backoff: Backoff,
    state: State,
}

enum State {
    Open(Box<Connection>),
    Waiting(Instant),
    /// Kept here, so that a caller who drops `next` in between doesn't begin anew each time.
    Connecting(BoxFuture<'static, Result<Box<Connection>, Error>>),
    Over,
}

impl Client {
    /// Live updates of orders. Nothing is followed yet: see [`LiveBuilder::order`].
    pub fn live(&self) -> LiveBuilder {
        LiveBuilder {
            client: self.clone(),
            orders: Vec::new(),
            until_final: false,
            reconnect: RetryPolicy::endless(),
        }
    }
}

impl LiveBuilder {
    /// Follows an order from version `since` + 1 on (0: from the first); `None` begins with a snapshot.
    #[must_use]
    pub fn order(mut self, id: Uuid, since: Option<u32>) -> Self {
        self.orders.push((id, since));
        self
    }

    /// Ends once every order is DELIVERED, REJECTED or CANCELLED.
    #[must_use]
    pub fn until_final(mut self, until_final: bool) -> Self {
        self.until_final = until_final;
        self
    }

    /// How often a lost connection is made again; [`RetryPolicy::endless`] unless set. Attempts and time of the
    /// policy are counted anew after a connection that lasted ten seconds.
    #[must_use]
    pub fn reconnect(mut self, policy: RetryPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// Connects. The first connection is tried once: its failure is the caller's to judge, because the address
    /// may be wrong. More than [`ORDERS_MAX`] orders are [`Error::Usage`].
    pub async fn connect(self) -> Result<LiveStream, Error> {
        let progress = Progress::new(self.orders, self.until_final);
        if progress.len() > ORDERS_MAX {
            return Err(Error::Usage(format!("at most {ORDERS_MAX} orders at once")));
        }
        let state = State::Open(subscribed(&self.client, &progress).await?);
        Ok(LiveStream {
            client: self.client,
            progress,
            backoff: Backoff::new(self.reconnect),
            state,
        })
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream")
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl LiveStream {
    /// The next event. `None` at the end: no order is followed any more. An error is the last event: the policy
    /// allows no further attempt. This may be dropped while it waits and called again, as in `select!`.
    pub async fn next(&mut self) -> Option<Result<LiveEvent, Error>> {
        loop {
            match &mut self.state {
                State::Over => return None,
                State::Open(connection) => {
                    if self.progress.is_over() {
                        connection.close().await;
                        self.state = State::Over;
                        return None;
                    }
                    match connection.read().await {
                        Err(cause) => return Some(self.lost(cause)),
                        Ok(frame) => {
                            if let Some(event) = self.take(&frame).await {
                                return Some(event);
                            }
                        }
                    }
                }
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    let connecting = subscribed(&self.client, &self.progress);
                    self.state = State::Connecting(Box::pin(connecting));
                }
                State::Connecting(connecting) => match connecting.await {
                    Ok(connection) => {
                        self.state = State::Open(connection);
                        return Some(Ok(LiveEvent::Reconnected));
                    }
                    // The credential has ended, and another try is no other credential.
                    Err(error @ Error::Refused(_)) if is_denied(&error) => return Some(Err(error)),
                    Err(error) if self.pause() => return Some(Ok(LiveEvent::StillLost(error))),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// Takes leave of the server; a stream that is dropped just goes.
    pub async fn close(mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.close().await;
        }
    }

    async fn take(&mut self, frame: &Utf8Bytes) -> Option<Result<LiveEvent, Error>> {
        let Ok(message) = serde_json::from_str::<LiveMessage>(frame) else {
            return Some(
                self.leave("the server sent what can't be read".into())
                    .await,
            );
        };
        match self.progress.take(&message) {
            Next::Skip => None,
            Next::Again(cause) => Some(self.leave(cause).await),
            Next::Refused(order_id, problem) => Some(Ok(LiveEvent::Refused { order_id, problem })),
            Next::PassLast(id) => {
                if let State::Open(connection) = &mut self.state {
                    connection.say(&ClientMessage::Unsubscribe { order_id: id });
                }
                Some(Ok(passed(message, frame)))
            }
            Next::Pass => Some(Ok(passed(message, frame))),
        }
    }

    /// Closes the connection to make another.
    async fn leave(&mut self, cause: String) -> Result<LiveEvent, Error> {
        if let State::Open(connection) = &mut self.state {
            connection.close().await;
        }
        self.lost(cause)
    }

    fn lost(&mut self, cause: String) -> Result<LiveEvent, Error> {
        if let State::Open(connection) = &self.state
            && connection.age() >= GOOD_FOR
        {
            self.backoff.reset();
        }
        if self.pause() {
            return Ok(LiveEvent::Lost { cause });
        }
        Err(Error::NoAnswer {
            url: self.client.url().into(),
            was_sent: true,
            cause,
        })
    }

    /// Waits for the next attempt; `false` if there is none.
    fn pause(&mut self) -> bool {
        let pause = self.backoff.pause(Duration::ZERO);
        self.state = pause.map_or(State::Over, |pause| State::Waiting(Instant::now() + pause));
        pause.is_some()
    }
}

/// Makes a connection that subscribes to all orders.
fn subscribed(
    client: &Client,
    progress: &Progress,
) -> impl Future<Output = Result<Box<Connection>, Error>> + use<> {
    let client = client.clone();
    let subscriptions: Vec<_> = progress
        .wanted()
        .map(|(order_id, since)| ClientMessage::Subscribe { order_id, since })
        .collect();
    async move {
        let mut connection = Box::new(Connection::open(&client).await?);
        for subscription in &subscriptions {
            connection.say(subscription);
        }
        Ok(connection)
    }
}

fn passed(message: LiveMessage, frame: &Utf8Bytes) -> LiveEvent {
    LiveEvent::Message {
        message,
        frame: frame.as_str().into(),
    }
}
