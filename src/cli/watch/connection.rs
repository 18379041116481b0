//! One connection of `watch`: subscribes after the last printed version, then prints the messages that come.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use uuid::Uuid;

use super::line::line;
use super::message::ServerMessage;
use super::progress::{Next, Progress};
use crate::cli::client::Client;
use crate::cli::failure::CliError;
use crate::cli::output::Output;
use crate::cli::problem::Problem;
use crate::cli::text::printable;
use crate::codec::live::ClientMessage;

/// Time limit for connection and upgrade.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between pings, which keep proxies from closing a quiet connection.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After three unanswered pings the server counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest message: several times the largest snapshot (about 25 KiB).
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Ctrl-C, or its stand-in in a test.
pub(super) type Stop<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// How a connection ended.
pub enum Ended {
    /// No order is left to follow.
    Finished,
    /// Ctrl-C.
    Interrupted,
    /// The connection was lost and is to be made again; the text says why.
    Lost(String),
}

/// An open connection.
pub struct TrackConnection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl TrackConnection {
    /// Connects.
    pub async fn open(client: &Client) -> Result<Self, CliError> {
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let url = client.track_url();
        let connecting = connect_async_with_config(&url, Some(config), false);
        match timeout(OPEN_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(Self { socket }),
            Ok(Err(error)) => Err(open_failed(client, &error)),
            Err(_) => Err(CliError::NoAnswer {
                url: client.base().into(),
                cause: format!("no answer within {} s", OPEN_TIMEOUT.as_secs()),
            }),
        }
    }

    /// Prints messages until the connection ends. Fails only if it can't print.
    pub async fn run(
        mut self,
        progress: &mut Progress,
        json: bool,
        output: &mut Output,
        mut stop: Stop<'_>,
    ) -> Result<Ended, CliError> {
        for (id, since) in progress.wanted() {
            let subscribe = ClientMessage::Subscribe {
                order_id: id.to_string(),
                since,
            };
            if let Err(error) = self.socket.feed(text(&subscribe)).await {
                return Ok(lost(&error));
            }
        }
        if let Err(error) = self.socket.flush().await {
            return Ok(lost(&error));
        }
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                message = self.socket.next() => message,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return Ok(Ended::Lost("the server has gone silent".into()));
                    }
                    if let Err(error) = self.socket.send(Message::Ping(bytes::Bytes::new())).await {
                        return Ok(lost(&error));
                    }
                    continue;
                }
                () = &mut stop => {
                    self.close().await;
                    return Ok(Ended::Interrupted);
                }
            };
            heard = Instant::now();
            match message {
                Some(Ok(Message::Text(frame))) => {
                    if let Some(ended) = self.take(&frame, progress, json, output).await? {
                        self.close().await;
                        return Ok(ended);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let why =
                        frame.map(|frame| format!(": {} {}", u16::from(frame.code), frame.reason));
                    let why = printable(&why.unwrap_or_default());
                    return Ok(Ended::Lost(format!(
                        "the server closed the connection{why}"
                    )));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ok(lost(&error)),
                None => return Ok(Ended::Lost("the connection broke off".into())),
            }
        }
    }

    async fn take(
        &mut self,
        frame: &str,
        progress: &mut Progress,
        json: bool,
        output: &mut Output,
    ) -> Result<Option<Ended>, CliError> {
        let Ok(message) = serde_json::from_str::<ServerMessage>(frame) else {
            return Ok(Some(Ended::Lost(
                "the server sent what can't be read".into(),
            )));
        };
        match progress.take(&message) {
            Next::Skip => {}
            Next::Print => print(frame, &message, json, output)?,
            Next::PrintLast(id) => {
                print(frame, &message, json, output)?;
                if progress.is_over() {
                    return Ok(Some(Ended::Finished));
                }
                if let Err(error) = self.unsubscribe(id).await {
                    return Ok(Some(lost(&error)));
                }
            }
            Next::Again(why) => return Ok(Some(Ended::Lost(why))),
            Next::Refused(problem) => {
                eprintln!("{}", CliError::Refused(problem).report());
                if progress.is_over() {
                    return Ok(Some(Ended::Finished));
                }
            }
        }
        Ok(None)
    }

    async fn unsubscribe(&mut self, id: Uuid) -> Result<(), Error> {
        let unsubscribe = ClientMessage::Unsubscribe {
            order_id: id.to_string(),
        };
        self.socket.send(text(&unsubscribe)).await
    }

    /// Sends a close frame; whether it arrives doesn't matter.
    async fn close(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(None)).await;
    }
}

fn print(
    frame: &str,
    message: &ServerMessage,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if !json {
        return line(message).map_or(Ok(()), |line| output.line(&line));
    }
    if !frame.contains(['\n', '\r']) {
        return output.line(frame);
    }
    // JSON has line breaks only between tokens, where a space means the same.
    output.line(&frame.replace(['\n', '\r'], " "))
}

fn text(message: &ClientMessage) -> Message {
    // Writing plain strings and numbers to memory has no way to fail.
    Message::text(serde_json::to_string(message).unwrap_or_default())
}

fn lost(error: &Error) -> Ended {
    let (cause, _) = CliError::root_cause(error);
    Ended::Lost(format!("the connection broke off: {cause}"))
}

fn open_failed(client: &Client, error: &Error) -> CliError {
    let Error::Http(answer) = error else {
        return client.unreachable(error);
    };
    let status = answer.status().as_u16();
    let body = answer.body().as_deref().unwrap_or_default();
    match Problem::parse(body, status) {
        Some(problem) => CliError::Refused(Box::new(problem)),
        None => CliError::Foreign {
            url: client.track_url(),
            status,
            excerpt: "no WebSocket".into(),
        },
    }
}
