//! Links in memory, with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use trackops_cluster::link::{LinkError, LinkState, Links, Peer, Service, Trouble};
use trackops_cluster::membership::{Incarnation, NodeId};

type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The services of all replicas, and what is wrong between them.
#[derive(Default)]
pub struct Network {
    services: Mutex<BTreeMap<String, Arc<dyn Service>>>,
    /// Pairs that can't reach each other, both ways.
    cut: Mutex<BTreeSet<(String, String)>>,
    /// The next answers are lost; what happens before the caller hears of it.
    lost: Mutex<Vec<Meanwhile>>,
    /// One-way messages go out and are lost.
    pub mute: AtomicBool,
    /// Calls made.
    pub calls: Mutex<usize>,
}

impl Network {
    pub fn serve(&self, name: &str, service: Arc<dyn Service>) {
        self.services.lock().insert(name.into(), service);
    }

    /// Cuts the link between two, which both notice.
    pub fn cut(&self, one: &str, two: &str) {
        self.cut.lock().insert(pair(one, two));
        for (at, from) in [(one, two), (two, one)] {
            let service = self.services.lock().get(at).cloned();
            if let Some(service) = service {
                service.disconnected(&(NodeId(from.into()), Incarnation(1)));
            }
        }
    }

    pub fn mend(&self, one: &str, two: &str) {
        self.cut.lock().remove(&pair(one, two));
    }

    /// The answer to the next call is lost; `meanwhile` happens before the caller hears of it.
    pub fn lose_answer(&self, meanwhile: impl Future<Output = ()> + Send + 'static) {
        self.lost.lock().push(Box::pin(meanwhile));
    }

    fn find(&self, from: &str, to: &Peer) -> Result<Arc<dyn Service>, LinkError> {
        if self.cut.lock().contains(&pair(from, &to.node.0)) {
            return Err(LinkError::NotSent(Trouble::Simulated));
        }
        let services = self.services.lock();
        let found = services.get(&to.node.0).cloned();
        found.ok_or(LinkError::NotSent(Trouble::Closed))
    }
}

fn pair(one: &str, two: &str) -> (String, String) {
    let (one, two) = (one.to_owned(), two.to_owned());
    if one < two { (one, two) } else { (two, one) }
}

/// The network as one replica sees it.
pub struct MemoryLinks {
    pub me: String,
    pub network: Arc<Network>,
}

impl MemoryLinks {
    fn from(&self) -> (NodeId, Incarnation) {
        (NodeId(self.me.clone()), Incarnation(1))
    }
}

#[async_trait]
impl Links for MemoryLinks {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        let service = self.network.find(&self.me, to)?;
        *self.network.calls.lock() += 1;
        let from = self.from();
        let answered = timeout_at(deadline, service.call(&from, request, deadline));
        let answer = answered.await.map_err(|_| LinkError::TimedOut)?;
        let lost = self.network.lost.lock().pop();
        if let Some(meanwhile) = lost {
            meanwhile.await;
            return Err(LinkError::Lost(Trouble::Simulated));
        }
        Ok(answer)
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        self.network.find(&self.me, through)?;
        let service = self.network.find(&through.node.0, to)?;
        let from = self.from();
        let answered = timeout_at(deadline, service.call(&from, request, deadline));
        answered.await.map_err(|_| LinkError::TimedOut)
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        let service = self.network.find(&self.me, to)?;
        if !self.network.mute.load(Ordering::SeqCst) {
            service.receive(&self.from(), message).await;
        }
        Ok(())
    }

    fn states(&self) -> Vec<LinkState> {
        Vec::new()
    }
}
