//! The state of the simulated network: its nodes, its cuts and its links. Leaves carrying calls and
//! messages to [`super::links`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::network_faults::{Accident, Dice, Fate, NetworkFaults};
use super::settings::MemorySettings;
use crate::link::{LinkError, Peer, Refusal, Service, Trouble};
use crate::membership::{Incarnation, NodeId};

pub(super) struct Net {
    pub settings: MemorySettings,
    state: Mutex<State>,
    /// Notified when a cut is healed. Wakes tasks in order, which `watch` doesn't promise.
    healed: Notify,
}

struct State {
    dice: Dice,
    faults: NetworkFaults,
    nodes: BTreeMap<String, Node>,
    /// By sender and receiver; the number tells this cut from an earlier one.
    cuts: BTreeMap<(String, String), u64>,
    links: BTreeMap<(String, String), Arc<Wire>>,
    counter: u64,
}

/// A node that has joined.
#[derive(Clone)]
pub(super) struct Node {
    pub peer: Peer,
    pub service: Option<Arc<dyn Service>>,
    pub crashed: CancellationToken,
}

/// A link in one direction: `from` calls and sends, `to` answers.
pub(super) struct Wire {
    pub from: (NodeId, Incarnation),
    pub to: Peer,
    pub since: Instant,
    pub broken: CancellationToken,
    /// Cancelled once the receiver has been told that the link is broken.
    pub done: CancellationToken,
    pub messages: mpsc::Sender<Posted>,
    pub in_flight: AtomicUsize,
}

/// A one-way message in flight.
pub(super) struct Posted {
    pub message: Bytes,
    pub due: Instant,
    pub breaks: bool,
}

/// The permit of one call in flight.
pub(super) struct CallPermit(Arc<Wire>);

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Net {
    pub fn new(seed: u64, settings: MemorySettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State {
                dice: Dice(seed),
                faults: NetworkFaults::default(),
                nodes: BTreeMap::new(),
                cuts: BTreeMap::new(),
                links: BTreeMap::new(),
                counter: 0,
            }),
            healed: Notify::new(),
        })
    }

    pub fn join(&self, me: &Peer) {
        self.crash(&me.node.0);
        let node = Node {
            peer: me.clone(),
            service: None,
            crashed: CancellationToken::new(),
        };
        self.state.lock().nodes.insert(me.node.0.clone(), node);
    }

    pub fn serve(&self, me: &Peer, service: Arc<dyn Service>) {
        if let Some(node) = self.state.lock().nodes.get_mut(&me.node.0)
            && node.peer == *me
        {
            node.service.get_or_insert(service);
        }
    }

    pub fn set_faults(&self, faults: NetworkFaults) {
        self.state.lock().faults = faults;
    }

    pub fn cut(self: &Arc<Self>, directions: &[(&NodeId, &NodeId)]) {
        for (from, to) in directions {
            let key = (from.0.clone(), to.0.clone());
            let mut state = self.state.lock();
            if state.cuts.contains_key(&key) {
                continue;
            }
            state.counter += 1;
            let number = state.counter;
            state.cuts.insert(key.clone(), number);
            drop(state);
            let net = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(net.settings.silence_limit).await;
                if net.state.lock().cuts.get(&key) == Some(&number) {
                    net.break_link(&key.0, &key.1);
                    net.break_link(&key.1, &key.0);
                }
            });
        }
    }

    pub fn heal(&self, which: impl Fn(&str, &str) -> bool) {
        self.state
            .lock()
            .cuts
            .retain(|(from, to), _| !which(from, to));
        self.healed.notify_waiters();
    }

    pub fn break_link(&self, from: &str, to: &str) {
        let key = (from.to_owned(), to.to_owned());
        let broken = self.state.lock().links.get(&key).cloned();
        if let Some(wire) = broken {
            wire.broken.cancel();
        }
    }

    pub fn crash(&self, node: &str) {
        let mut state = self.state.lock();
        let gone = state.nodes.remove(node);
        let wires: Vec<_> = state
            .links
            .iter()
            .filter(|((from, to), _)| from == node || to == node)
            .map(|(_, wire)| Arc::clone(wire))
            .collect();
        drop(state);
        if let Some(gone) = gone {
            gone.crashed.cancel();
        }
        for wire in wires {
            wire.broken.cancel();
        }
    }

    /// The node, if it is there in this incarnation.
    pub fn node(&self, peer: &Peer) -> Option<Node> {
        let state = self.state.lock();
        state
            .nodes
            .get(&peer.node.0)
            .filter(|node| node.peer.incarnation == peer.incarnation)
            .cloned()
    }

    /// Waits until `due`, and for as long as the direction is cut.
    pub async fn travel(&self, from: &str, to: &str, due: Instant) {
        tokio::time::sleep_until(due).await;
        let key = (from.to_owned(), to.to_owned());
        loop {
            let mut healed = pin!(self.healed.notified());
            healed.as_mut().enable();
            if !self.state.lock().cuts.contains_key(&key) {
                return;
            }
            healed.await;
        }
    }

    /// The wire from `from` to `to`, made if there is none, and the fate of the next call or message on
    /// it. The caller must serve a new wire: its queue is returned with it.
    pub fn wire(
        &self,
        from: &Peer,
        to: &Peer,
    ) -> Result<(Arc<Wire>, Fate, Option<NewWire>), LinkError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let fate = state.dice.fate(&state.faults);
        let there = |peer: &Peer| {
            state
                .nodes
                .get(&peer.node.0)
                .map(|node| node.peer.incarnation == peer.incarnation)
        };
        if there(from) != Some(true) {
            return Err(LinkError::NotSent(Trouble::Stopping));
        }
        let key = (from.node.0.clone(), to.node.0.clone());
        if fate.accident == Some(Accident::Unsent) {
            return Err(LinkError::NotSent(Trouble::Simulated));
        }
        let before = state.links.get(&key);
        if let Some(wire) = before
            && !wire.broken.is_cancelled()
            && wire.to.incarnation == to.incarnation
        {
            return Ok((Arc::clone(wire), fate, None));
        }
        match there(to) {
            None => return Err(LinkError::NotSent(Trouble::ConnectTimedOut)),
            Some(false) => {
                return Err(LinkError::NotSent(Trouble::Refused(Refusal::Incarnation)));
            }
            Some(true) => {}
        }
        let back = (key.1.clone(), key.0.clone());
        if state.cuts.contains_key(&key) || state.cuts.contains_key(&back) {
            return Err(LinkError::NotSent(Trouble::ConnectTimedOut));
        }
        let (messages, queue) = mpsc::channel(self.settings.messages_max);
        let before = before.map(|wire| wire.done.clone());
        let wire = Arc::new(Wire {
            from: from.identity(),
            to: to.clone(),
            since: Instant::now(),
            broken: CancellationToken::new(),
            done: CancellationToken::new(),
            messages,
            in_flight: AtomicUsize::new(0),
        });
        state.links.insert(key, Arc::clone(&wire));
        Ok((wire, fate, Some(NewWire { queue, before })))
    }

    /// Takes a permit for one call on the wire.
    pub fn place(&self, wire: &Arc<Wire>) -> Result<CallPermit, LinkError> {
        let before = wire.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = CallPermit(Arc::clone(wire));
        if before >= self.settings.calls_max {
            return Err(LinkError::Full);
        }
        Ok(place)
    }

    /// The wires over which `node` calls others, by node id.
    pub fn wires(&self, node: &str) -> Vec<Arc<Wire>> {
        let state = self.state.lock();
        state
            .links
            .iter()
            .filter(|((from, _), _)| from == node)
            .map(|(_, wire)| Arc::clone(wire))
            .collect()
    }
}

/// What a new wire's task needs.
pub(super) struct NewWire {
    pub queue: mpsc::Receiver<Posted>,
    /// Cancelled when the receiver has been told of the old wire's end. It gets nothing over the new wire
    /// before that.
    pub before: Option<CancellationToken>,
}

/// When a message that is sent now arrives.
pub(super) fn due(delay: Duration) -> Instant {
    Instant::now() + delay
}
