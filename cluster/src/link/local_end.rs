//! This replica's end of its links: the links that it has made, the peers that have linked to it, and the
//! tasks of both. Leaves taking connections to [`super::acceptor`], and a single link to
//! [`super::outbound`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dialler::Dialler;
use super::error::{LinkError, Trouble};
use super::outbound::Link;
use super::peer::Peer;
use super::pump::Request;
use super::registry::Registry;
use super::state::LinkState;
use crate::repeated::RepeatedLog;

/// See the module.
pub(super) struct LocalEnd {
    pub(super) dialler: Arc<Dialler>,
    /// By node id. Shared with the tasks that keep the links: each removes its own link when it ends.
    links: Arc<RwLock<BTreeMap<String, Arc<Link>>>>,
    pub(super) registry: Registry,
    /// Strangers whose TLS was refused.
    pub(super) refusals: RepeatedLog,
    pub(super) tracker: TaskTracker,
    /// Cancelled to refuse new work; work in flight may end.
    pub(super) stopping: CancellationToken,
    /// Cancelled to end everything at once.
    pub(super) killed: CancellationToken,
}

impl LocalEnd {
    /// An end without any link yet.
    pub(super) fn new(dialler: Dialler) -> Self {
        Self {
            dialler: Arc::new(dialler),
            links: Arc::default(),
            registry: Registry::default(),
            refusals: RepeatedLog::new(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            killed: CancellationToken::new(),
        }
    }

    /// Sends a call or a relay over the link to `to`.
    pub(super) async fn request(
        &self,
        to: &Peer,
        request: Request,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        self.link(to)?.call(request, deadline).await
    }

    /// The link to this incarnation of the peer. Makes one if there is none, unless a newer incarnation
    /// is known.
    pub(super) fn link(&self, to: &Peer) -> Result<Arc<Link>, LinkError> {
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

    /// The links to others, by node id.
    pub(super) fn states(&self) -> Vec<LinkState> {
        self.links
            .read()
            .values()
            .map(|link| link.state())
            .collect()
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
