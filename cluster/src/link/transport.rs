//! [`TonicLinks`]: gRPC over TCP or TLS, with one connection from each replica to each replica that it calls.
//! Leaves accepting to [`super::acceptor`], and dialling to [`super::outbound`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::acceptor;
use super::dialler::Dialler;
use super::error::LinkError;
use super::links::Links;
use super::local_end::LocalEnd;
use super::peer::Peer;
use super::pump::Request;
use super::service::Service;
use super::settings::LinkSettings;
use super::state::LinkState;
use super::trust::LinkTrust;

/// The links of one incarnation of a replica.
///
/// A connection to a peer is made at its first use. Its one HTTP/2 stream carries all calls and messages
/// to that peer; the peer's own calls come over a connection that the peer makes. A connection is used
/// only after both ends have shown their certificates, or have proven that they know the secret, without
/// showing it ([`LinkTrust`]). A peer that falls silent is found by keepalive
/// ([`LinkSettings::keepalive_limit`]) and its calls fail as lost.
///
/// The tasks behind it live until [`TonicLinks::stop`].
pub struct TonicLinks {
    end: Arc<LocalEnd>,
    listener: Mutex<Option<TcpListener>>,
}

impl TonicLinks {
    /// Starts the links of `me`; others must reach `listener` at the address of `me`. Calls can be made
    /// at once; incoming connections wait until [`TonicLinks::serve`].
    pub fn start(
        me: Peer,
        listener: TcpListener,
        trust: LinkTrust,
        settings: LinkSettings,
    ) -> Arc<Self> {
        let dialler = Dialler {
            me,
            trust,
            settings,
        };
        let end = Arc::new(LocalEnd::new(dialler));
        if end.dialler.trust.tls().is_some() {
            end.tracker.spawn(watch_certificates(Arc::clone(&end)));
        }
        Arc::new(Self {
            end,
            listener: Mutex::new(Some(listener)),
        })
    }

    /// Starts to answer peers by `service`. The first call counts, further ones do nothing.
    pub fn serve(&self, service: Arc<dyn Service>) {
        if let Some(listener) = self.listener.lock().take() {
            let accepting = acceptor::accept(Arc::clone(&self.end), listener, service);
            self.end.tracker.spawn(accepting);
        }
    }

    /// Ends all links in good order: takes no new calls, tells the peers so, waits up to `limit` for the
    /// calls in flight in both directions, then drops the rest. A peer's call that comes too late fails
    /// with [`LinkError::NotSent`].
    pub async fn stop(&self, limit: Duration) {
        self.end.stopping.cancel();
        drop(self.listener.lock().take());
        self.end.tracker.close();
        // If the limit passes first, the rest is ended below.
        drop(tokio::time::timeout(limit, self.end.tracker.wait()).await);
        self.end.killed.cancel();
        self.end.tracker.wait().await;
    }
}

/// Takes new certificates from their files until the links are stopped.
async fn watch_certificates(end: Arc<LocalEnd>) {
    let Dialler {
        trust, settings, ..
    } = &*end.dialler;
    if let Some(tls) = trust.tls() {
        tokio::select! {
            biased;
            () = end.stopping.cancelled() => {}
            () = tls.watch(settings.certificates_every) => {}
        }
    }
}

#[async_trait]
impl Links for TonicLinks {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        self.end.request(to, Request::own(request), deadline).await
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let request = Request::relayed(request, to);
        self.end.request(through, request, deadline).await
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        self.end.link(to)?.send(message).await
    }

    fn states(&self) -> Vec<LinkState> {
        self.end.states()
    }
}
