//! One attempt to make a link: TCP, perhaps TLS, HTTP/2, the stream, the handshake. Leaves further attempts to
//! [`super::outbound`].

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::codec::Streaming;

use super::error::Trouble;
use super::peer::Peer;
use super::peer_connection::PeerConnection;
use super::settings::LinkSettings;
use super::trust::{LinkTrust, Opened};
use super::wire::{Body, Frame};
use super::{grpc, handshake};

/// The flow control windows of connection and stream: the bytes that may be sent and not read yet. A
/// connection has one stream, so both are the same.
pub(super) const WINDOW_BYTES: u32 = 1024 * 1024;

/// A link that has just been made.
pub(super) struct Connected {
    pub session: Arc<PeerConnection>,
    /// The wire version that both ends speak on it.
    pub version: u32,
    pub is_tls: bool,
    /// The peer's answers.
    pub frames: Streaming<Frame>,
    /// Dropped to close the stream in good order: queued frames are still written.
    pub open: mpsc::Sender<Frame>,
    /// Dropped to close the connection.
    pub connection: Connection,
}

/// The task that drives a connection; it ends with this.
pub(super) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The replica that dials, what it is known by, and its limits.
#[derive(Debug)]
pub(super) struct Dialler {
    pub me: Peer,
    pub trust: LinkTrust,
    pub settings: LinkSettings,
}

impl Dialler {
    /// Makes a link to `to`, within the limit of the settings.
    pub async fn connect(&self, to: &Peer) -> Result<Connected, Trouble> {
        tokio::time::timeout(self.settings.connect_limit, self.attempt(to))
            .await
            .unwrap_or(Err(Trouble::ConnectTimedOut))
    }

    async fn attempt(&self, to: &Peer) -> Result<Connected, Trouble> {
        let settings = &self.settings;
        let Opened {
            stream,
            secret,
            is_tls,
        } = self.trust.connect(to).await?;
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.keepalive_every)
            .keep_alive_timeout(settings.keepalive_limit)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Trouble::Broken(error.to_string().into()))?;
        let connection = Connection(tokio::spawn(async move {
            // The stream fails with the same error, and that error is handled there.
            drop(connection.await);
        }));
        // Room for the two frames of the handshake.
        let (open, control) = mpsc::channel(2);
        let (session, pump) = PeerConnection::new(control, settings);
        let hello = handshake::hello(&self.me, to, settings);
        let first = Frame::of(Body::Hello(hello.clone()));
        open.send(first).await.map_err(|_| Trouble::Closed)?;
        let mut frames = grpc::open(sender, pump, settings.message_bytes_max).await?;
        let version = handshake::dial(&mut frames, &open, hello, &secret).await?;
        Ok(Connected {
            session,
            version,
            is_tls,
            frames,
            open,
            connection,
        })
    }
}
