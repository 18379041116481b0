//! The HTTP server, of HTTP/1.1 and HTTP/2 on one port: accepts connections up to a bound, limits slow clients,
//! and stops gracefully. A socket that was upgraded to WebSocket belongs to its handler from then on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::per_address::PerAddress;
use super::service::ApiService;
use super::too_many;
use crate::telemetry::names;

pub use super::server_limits::Limits;

/// How many connections may wait to be accepted. A burst of ten thousand sockets fills this only a few times;
/// the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How long to wait after the kernel refused a connection for want of files or memory. Only the end of other
/// connections cures that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A stopping listener is closed once no connection has come for so long: enough time to accept those that
/// are in the backlog already.
const LATECOMER_MAX: Duration = Duration::from_millis(10);
/// A stopping listener is closed after this at the latest, however many connections come.
const LATECOMERS_MAX: Duration = Duration::from_millis(100);

/// Connections beyond the bound of their address that are told so at the same time. Each takes a second at most.
const REFUSALS_MAX: usize = 64;

/// Why a listener can't be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("port {} on {} is in use: stop what listens there, or choose another address with {flag}", .addr.port(), .addr.ip())]
    Busy {
        /// Where.
        addr: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// Anything else, such as an address that is not this machine's.
    #[error("can't listen on {addr} (set by {flag})")]
    Refused {
        /// Where.
        addr: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// The kernel's error.
        source: std::io::Error,
    },
}

/// The two signals of a listener's end: first that it is near, then that it has come.
#[derive(Clone, Debug, Default)]
pub struct Until {
    /// The end is near: everything is still served, and answers say `Connection: close`.
    pub closing: CancellationToken,
    /// The end has come: no more connections are taken.
    pub stop: CancellationToken,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut because the grace period was over.
    pub cut: usize,
}

/// An open listener. Its clones share it: it stays open until the last of them is gone.
#[derive(Clone, Debug)]
pub struct Server {
    listener: Arc<TcpListener>,
    addr: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Opens `addr`, which `flag` (`--listen`) sets. Port 0 takes a free port. Must be called within a
    /// runtime.
    pub fn bind(addr: SocketAddr, flag: &'static str) -> Result<Self, BindError> {
        let refused = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::Busy { addr, flag },
            _ => BindError::Refused { addr, flag, source },
        };
        let open = || {
            let socket = if addr.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            // A restart must not wait for the last process' connections to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            let listener = socket.listen(BACKLOG)?;
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        };
        let (listener, addr) = open().map_err(refused)?;
        Ok(Self {
            listener: Arc::new(listener),
            addr,
            limits: Limits::default(),
        })
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where it listens, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `until.stop`; then takes only the connections that were made by then, closes idle
    /// ones, ends the others after their answer (which says `Connection: close`), and cuts what is left
    /// after `grace`.
    pub async fn serve(self, service: ApiService, until: Until, grace: Duration) -> Stopped {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let open = metrics::gauge!(names::HTTP_CONNECTIONS);
        let places = PerAddress::new(
            self.limits.connections_per_address_max,
            self.limits.counts_loopback,
        );
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let serve = |stream: TcpStream, peer: SocketAddr, slot| {
            let Some(place) = places.admit(peer.ip()) else {
                too_many::counted();
                // Beyond the bound a connection is closed without a word.
                if let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        too_many::refuse(stream).await;
                        drop(refusal);
                    });
                }
                return;
            };
            let connection = Connection {
                service: service.clone(),
                limits: self.limits,
                closing: until.closing.clone(),
                stop: until.stop.clone(),
                cut: cut.clone(),
                slot,
                place: Arc::new(place),
            };
            let open = open.clone();
            connections.spawn(async move {
                open.increment(1);
                connection.serve(stream).await;
                open.decrement(1);
            });
        };
        while let Some((stream, peer, slot)) = self.accept(&slots, &until.stop).await {
            serve(stream, peer, slot);
        }
        // Closing the listener makes the kernel reset the connections in the backlog, and it has accepted
        // those.
        let last = Instant::now() + LATECOMERS_MAX;
        while Instant::now() < last {
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                break;
            };
            match timeout(LATECOMER_MAX, self.listener.accept()).await {
                Ok(Ok((stream, peer))) => serve(stream, peer, slot),
                Ok(Err(error)) if is_of_one_connection(&error) => {}
                _ => break,
            }
        }
        drop(self.listener);
        connections.close();
        if timeout(grace, connections.wait()).await.is_ok() {
            return Stopped { cut: 0 };
        }
        let left = connections.len();
        tracing::warn!(
            connections = left,
            "cutting connections that didn't end in time"
        );
        cut.cancel();
        connections.wait().await;
        Stopped { cut: left }
    }

    /// The next connection and its permit; `None` when it is time to stop.
    async fn accept(
        &self,
        slots: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let accepted = async {
            // Nobody closes the semaphore, so it always grants in the end.
            let slot = Arc::clone(slots).acquire_owned().await.ok()?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => return Some((stream, peer, slot)),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "can't accept connections for a moment");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            accepted = accepted => accepted,
        }
    }
}

/// Whether the error concerns one connection that went away before it was accepted; the next one may be
/// sound.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}
