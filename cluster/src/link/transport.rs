//! [`TonicLinks`]: gRPC over TCP, one connection from each replica to each that it calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acceptor;
use super::dialler::Dialler;
use super::error::{LinkError, Trouble};
use super::outbound::Link;
use super::pump::Request;
use super::registry::Registry;
use super::secret::LinkSecret;
use super::settings::LinkSettings;
use super::{LinkState, Links, Peer, Service};

/// The links of one life of a replica.
///
/// A connection to a peer is made when it is first asked for, over one HTTP/2 stream that carries
/// all calls and messages to that peer; the peer's own calls come over a connection that the peer
/// makes. A connection counts only after both ends have proven that they know the secret, without
/// showing it; it is not encrypted. A peer that falls silent is found by keepalive
/// ([`LinkSettings::keepalive_limit`]) and its calls fail as lost.
///
/// The tasks behind it live until [`TonicLinks::stop`].
pub struct TonicLinks {
    pub(super) dialler: Arc<Dialler>,
    /// By node id. Shared with the tasks that keep the links, each of which takes its own out in the end.
    links: Arc<RwLock<BTreeMap<String, Arc<Link>>>>,
    listener: Mutex<Option<TcpListener>>,
    pub(super) registry: Registry,
    pub(super) tracker: TaskTracker,
    /// No new work; what is under way may end.
    pub(super) stopping: CancellationToken,
    /// Everything ends now.
    pub(super) killed: CancellationToken,
}

impl TonicLinks {
    /// Links in the name of `me`, which `listener` has to be reachable as. Calls can be made at once;
    /// connections from others wait until [`TonicLinks::serve`].
    pub fn start(
        me: Peer,
        listener: TcpListener,
        secret: LinkSecret,
        settings: LinkSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            dialler: Arc::new(Dialler {
                me,
                secret,
                settings,
            }),
            links: Arc::default(),
            listener: Mutex::new(Some(listener)),
            registry: Registry::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
        })
    }

    /// Starts to answer peers by `service`. The first call counts, further ones do nothing.
    pub fn serve(self: &Arc<Self>, service: Arc<dyn Service>) {
        if let Some(listener) = self.listener.lock().take() {
            let accepting = acceptor::accept(Arc::clone(self), listener, service);
            self.tracker.spawn(accepting);
        }
    }

    /// Ends all links in good order: takes nothing new, tells the peers so, waits for the calls under
    /// way in both directions up to `limit`, then drops the rest. Peers see the calls that come too late
    /// as [`LinkError::NotSent`].
    pub async fn stop(&self, limit: Duration) {
        self.stopping.cancel();
        drop(self.listener.lock().take());
        self.tracker.close();
        // If that takes too long, the rest of it is ended below.
        drop(tokio::time::timeout(limit, self.tracker.wait()).await);
        self.killed.cancel();
        self.tracker.wait().await;
    }

    /// A call or a relay over the link to `to`.
    pub(super) async fn request(
        &self,
        to: &Peer,
        request: Request,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        self.link(to)?.call(request, deadline).await
    }

    /// The link to this life of the peer; made if there is none, unless a newer life is known.
    fn link(&self, to: &Peer) -> Result<Arc<Link>, LinkError> {
        if let Some(link) = self.links.read().get(&to.node.0)
            && link.peer == *to
        {
            return Ok(Arc::clone(link));
        }
        if self.stopping.is_cancelled() {
            return Err(LinkError::NotSent(Trouble::Stopping));
        }
        let mut links = self.links.write();
        if let Some(known) = links.get(&to.node.0) {
            if known.peer == *to {
                return Ok(Arc::clone(known));
            }
            if known.peer.incarnation > to.incarnation {
                return Err(LinkError::NotSent(Trouble::Superseded));
            }
            known.supersede();
        }
        let link = Link::new(to.clone(), Arc::clone(&self.dialler));
        links.insert(to.node.0.clone(), Arc::clone(&link));
        self.tracker.spawn(keep(
            Arc::clone(&link),
            Arc::clone(&self.links),
            self.stopping.clone(),
            self.killed.clone(),
        ));
        Ok(link)
    }
}

async fn keep(
    link: Arc<Link>,
    links: Arc<RwLock<BTreeMap<String, Arc<Link>>>>,
    stopping: CancellationToken,
    killed: CancellationToken,
) {
    link.keep(&stopping, &killed).await;
    let mut links = links.write();
    let node = &link.peer.node.0;
    if links
        .get(node)
        .is_some_and(|known| Arc::ptr_eq(known, &link))
    {
        links.remove(node);
    }
}

#[async_trait]
impl Links for TonicLinks {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        self.request(to, Request::own(request), deadline).await
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let request = Request::relayed(request, to);
        self.request(through, request, deadline).await
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        self.link(to)?.send(message).await
    }

    fn states(&self) -> Vec<LinkState> {
        self.links
            .read()
            .values()
            .map(|link| link.state())
            .collect()
    }
}
