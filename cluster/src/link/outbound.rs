//! The link to one peer, made again after every break for as long as callers use it. Leaves one attempt
//! to [`super::dialler`], and one connection to [`super::peer_connection`].

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dialler::{Connected, Dialler};
use super::error::{LinkError, Trouble};
use super::metering::Meters;
use super::peer::Peer;
use super::peer_connection::PeerConnection;
use super::pump::Request;
use super::state::{LinkState, LinkStatus};
use super::wire::{Body, Frame};
use crate::backoff::Backoff;

/// The link to one incarnation of one peer.
pub(super) struct Link {
    pub peer: Peer,
    dialler: Arc<Dialler>,
    status: watch::Sender<Status>,
    asked: Mutex<Instant>,
    last_error: Mutex<Option<Trouble>>,
    meters: Meters,
    superseded: CancellationToken,
}

struct Status {
    stand: Stand,
    since: Instant,
}

#[derive(Clone)]
enum Stand {
    Connecting,
    Up(Arc<PeerConnection>),
    Down(Trouble),
}

impl Link {
    pub fn new(peer: Peer, dialler: Arc<Dialler>) -> Arc<Self> {
        let now = Instant::now();
        let status = Status {
            stand: Stand::Connecting,
            since: now,
        };
        let meters = Meters::of(&peer.node.0);
        meters.up(false);
        Arc::new(Self {
            meters,
            peer,
            dialler,
            status: watch::Sender::new(status),
            asked: Mutex::new(now),
            last_error: Mutex::new(None),
            superseded: CancellationToken::new(),
        })
    }

    pub async fn call(&self, request: Request, deadline: Instant) -> Result<Bytes, LinkError> {
        let bytes = request.payload().len();
        let outcome = match tokio::time::timeout_at(deadline, self.session()).await {
            Ok(Ok(session)) => session.call(request, deadline).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LinkError::TimedOut),
        };
        self.meters.called(bytes, &outcome);
        outcome
    }

    pub async fn send(&self, message: Bytes) -> Result<(), LinkError> {
        let bytes = message.len();
        self.session().await?.send(message).await?;
        self.meters.sent(bytes);
        Ok(())
    }

    /// Ends the link, because a newer incarnation of the peer is known.
    pub fn supersede(&self) {
        self.superseded.cancel();
    }

    pub fn state(&self) -> LinkState {
        let now = self.status.borrow();
        let (status, calls_in_flight) = match &now.stand {
            Stand::Connecting => (LinkStatus::Connecting, 0),
            Stand::Up(session) => (LinkStatus::Up, session.in_flight()),
            Stand::Down(_) => (LinkStatus::Down, 0),
        };
        LinkState {
            node: self.peer.node.clone(),
            incarnation: self.peer.incarnation,
            address: self.peer.address.clone(),
            status,
            since: now.since,
            calls_in_flight,
            last_error: self.last_error.lock().clone(),
        }
    }

    /// The connection, if there is one or if one is being made.
    async fn session(&self) -> Result<Arc<PeerConnection>, LinkError> {
        *self.asked.lock() = Instant::now();
        if let Stand::Up(session) = &self.status.borrow().stand {
            return Ok(Arc::clone(session));
        }
        let mut status = self.status.subscribe();
        let settled = status
            .wait_for(|status| !matches!(status.stand, Stand::Connecting))
            .await
            .map(|status| status.stand.clone());
        match settled {
            Ok(Stand::Up(session)) => Ok(session),
            Ok(Stand::Down(trouble)) => Err(LinkError::NotSent(trouble)),
            Ok(Stand::Connecting) | Err(_) => Err(LinkError::NotSent(Trouble::Closed)),
        }
    }

    /// Connects, and connects again after a break, until the link is superseded, forgotten or stopped.
    pub async fn keep(&self, stopping: &CancellationToken, killed: &CancellationToken) {
        let trouble = tokio::select! {
            biased;
            () = killed.cancelled() => Trouble::Stopping,
            () = self.superseded.cancelled() => Trouble::Superseded,
            trouble = self.connect_and_run(stopping) => trouble,
        };
        self.down(trouble);
    }

    async fn connect_and_run(&self, stopping: &CancellationToken) -> Trouble {
        let settings = &self.dialler.settings;
        let mut backoff = Backoff::new(settings.backoff_first, settings.backoff_max);
        loop {
            let connected = tokio::select! {
                biased;
                () = stopping.cancelled() => return Trouble::Stopping,
                connected = self.dialler.connect(&self.peer) => connected,
            };
            let trouble = match connected {
                Ok(connected) => {
                    let since = Instant::now();
                    let trouble = self.run(connected, stopping).await;
                    if since.elapsed() > settings.backoff_max {
                        // The link held for a while, so the next attempt comes without a pause, and calls
                        // wait for it.
                        backoff.reset();
                        self.note(&trouble);
                        if !matches!(trouble, Trouble::Stopping) {
                            self.stand(Stand::Connecting);
                            continue;
                        }
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            self.down(trouble);
            if self.asked.lock().elapsed() > settings.forget_after {
                return Trouble::Closed;
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Trouble::Stopping,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }

    /// Hands out answers until the connection ends. Returns why it ended.
    async fn run(&self, connected: Connected, stopping: &CancellationToken) -> Trouble {
        let Connected {
            session,
            version,
            is_tls,
            mut frames,
            open,
            connection,
        } = connected;
        // Also if this future is dropped half-way.
        let _ended = Ended(self, &session);
        let Peer { node, address, .. } = &self.peer;
        tracing::info!(peer = %node.0, version, %address, tls = is_tls, "link is up");
        if !is_tls && self.dialler.trust.tls().is_some() {
            tracing::warn!(peer = %node.0, "the link is not encrypted: the peer doesn't speak TLS yet");
        }
        self.stand(Stand::Up(Arc::clone(&session)));
        let mut open = Some(open);
        let mut stop = pin!(stopping.cancelled());
        let trouble = loop {
            tokio::select! {
                biased;
                () = &mut stop, if open.is_some() => {
                    open = None;
                    self.stand(Stand::Down(Trouble::Stopping));
                }
                frame = frames.message() => match frame {
                    Ok(Some(Frame { body: Some(Body::Leaving(_)), .. })) => {
                        open = None;
                        self.stand(Stand::Down(Trouble::Stopping));
                    }
                    Ok(Some(frame)) => self.meters.received(session.answered(frame)),
                    Ok(None) if open.is_none() => break Trouble::Stopping,
                    Ok(None) => break Trouble::Closed,
                    Err(status) => break status.into(),
                }
            }
        };
        drop(connection);
        session.end(&trouble);
        trouble
    }

    fn down(&self, trouble: Trouble) {
        self.note(&trouble);
        self.stand(Stand::Down(trouble));
    }

    /// Logs a trouble once, not at every attempt that fails with it again.
    fn note(&self, trouble: &Trouble) {
        let text = trouble.to_string();
        let known = self.last_error.lock().replace(trouble.clone());
        if known.is_none_or(|known| known.to_string() != text) {
            let peer = &self.peer;
            tracing::warn!(peer = %peer.node.0, address = %peer.address, error = %text, "link is down");
        }
    }

    fn stand(&self, stand: Stand) {
        // Once there is a newer incarnation, the gauge belongs to it.
        if !self.superseded.is_cancelled() {
            self.meters.up(matches!(stand, Stand::Up(_)));
        }
        self.status.send_modify(|status| {
            if std::mem::discriminant(&status.stand) != std::mem::discriminant(&stand) {
                status.since = Instant::now();
            }
            status.stand = stand;
        });
    }
}

/// Fails the calls in flight when the future that runs the connection is dropped.
struct Ended<'a>(&'a Link, &'a PeerConnection);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let Self(link, session) = self;
        let stopped = if link.superseded.is_cancelled() {
            Trouble::Superseded
        } else {
            Trouble::Stopping
        };
        // Does nothing if the connection has already ended.
        session.end(&stopped);
    }
}
