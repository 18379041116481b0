//! One connection: subscribes, keeps it alive, and reads messages. Every method may be dropped while it waits
//! and called again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};

use super::message::ClientMessage;
use super::socket::{self, Socket};
use crate::client::Client;
use crate::error::{Error, root_cause};

/// The time between pings, which keep proxies from closing a quiet connection.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After three unanswered pings the server counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open connection.
pub struct Connection {
    socket: Socket,
    /// What is to be sent: a subscription for each order, then an unsubscription for each that has ended.
    waiting: VecDeque<Message>,
    is_flushed: bool,
    ping: Interval,
    opened: Instant,
    heard: Instant,
}

impl Connection {
    /// Connects.
    pub async fn open(client: &Client) -> Result<Self, Error> {
        let socket = socket::open(client).await?;
        let now = Instant::now();
        let mut ping = interval_at(now + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            socket,
            waiting: VecDeque::new(),
            is_flushed: true,
            ping,
            opened: now,
            heard: now,
        })
    }

    /// How long it has lasted.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Sends `message` at the next [`read`](Self::read).
    pub fn say(&mut self, message: &ClientMessage) {
        self.waiting.push_back(Message::text(message.text()));
        self.is_flushed = false;
    }

    /// The next text message; an error says why there is none any more.
    pub async fn read(&mut self) -> Result<Utf8Bytes, String> {
        self.send_waiting().await.map_err(|error| lost(&error))?;
        loop {
            let message = tokio::select! {
                message = self.socket.next() => message,
                _ = self.ping.tick() => {
                    if self.heard.elapsed() > SILENCE_MAX {
                        return Err("the server has gone silent".into());
                    }
                    let ping = Message::Ping(Bytes::new());
                    self.socket.send(ping).await.map_err(|error| lost(&error))?;
                    continue;
                }
            };
            self.heard = Instant::now();
            match message {
                Some(Ok(Message::Text(frame))) => return Ok(frame),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(lost(&error)),
                None => return Err("the connection broke off".into()),
            }
        }
    }

    async fn send_waiting(&mut self) -> Result<(), SocketError> {
        // Only once it is in the socket's buffer is a message gone: this may be dropped at each `await`.
        while let Some(message) = self.waiting.front() {
            self.socket.feed(message.clone()).await?;
            self.waiting.pop_front();
        }
        if !self.is_flushed {
            self.socket.flush().await?;
            self.is_flushed = true;
        }
        Ok(())
    }

    /// Sends a close frame; whether it arrives doesn't matter.
    pub async fn close(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }
}

fn lost(error: &SocketError) -> String {
    format!("the connection broke off: {}", root_cause(error))
}

fn closed(frame: Option<CloseFrame>) -> String {
    let why = frame.map(|frame| format!(": {} {}", u16::from(frame.code), frame.reason));
    format!(
        "the server closed the connection{}",
        why.unwrap_or_default()
    )
}
