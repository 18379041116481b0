//! One node's links over a [`super::MemoryNetwork`]. Leaves the network's state to [`super::net`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::net::{CallPermit, Net, NewWire, Posted, Wire, due};
use super::network_faults::{Accident, Fate};
use crate::link::{LinkError, LinkState, LinkStatus, Links, Peer, Service, Trouble};
use crate::membership::{Incarnation, NodeId};

/// The links of one node of a simulated network.
pub struct MemoryLinks {
    me: Peer,
    net: Arc<Net>,
}

impl MemoryLinks {
    pub(super) fn new(me: Peer, net: Arc<Net>) -> Self {
        Self { me, net }
    }

    /// Starts to answer peers by `service`. The first call counts, further ones do nothing.
    pub fn serve(&self, service: Arc<dyn Service>) {
        self.net.serve(&self.me, service);
    }
}

/// What the node that a request reaches should do with it.
enum Errand {
    Answer,
    PassOn(Peer),
}

struct Letter {
    payload: Bytes,
    deadline: Instant,
    origin: (NodeId, Incarnation),
    errand: Errand,
}

#[async_trait]
impl Links for MemoryLinks {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        let letter = Letter {
            payload: request,
            deadline,
            origin: self.me.identity(),
            errand: Errand::Answer,
        };
        request_over(&self.net, &self.me, to, letter).await
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let letter = Letter {
            payload: request,
            deadline,
            origin: self.me.identity(),
            errand: Errand::PassOn(to.clone()),
        };
        request_over(&self.net, &self.me, through, letter).await
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        let (wire, fate) = wire(&self.net, &self.me, to)?;
        let posted = Posted {
            message,
            due: due(fate.there),
            // TCP loses no single message: a message is lost only together with its link.
            breaks: matches!(fate.accident, Some(Accident::Break | Accident::RequestLost)),
        };
        let sent = tokio::select! {
            biased;
            () = wire.broken.cancelled() => false,
            sent = wire.messages.send(posted) => sent.is_ok(),
        };
        if sent {
            Ok(())
        } else {
            Err(LinkError::NotSent(Trouble::Closed))
        }
    }

    fn states(&self) -> Vec<LinkState> {
        let state = |wire: Arc<Wire>| LinkState {
            node: wire.to.node.clone(),
            incarnation: wire.to.incarnation,
            address: wire.to.address.clone(),
            status: if wire.broken.is_cancelled() {
                LinkStatus::Down
            } else {
                LinkStatus::Up
            },
            since: wire.since,
            calls_in_flight: wire.in_flight.load(Ordering::Relaxed),
            last_error: wire.broken.is_cancelled().then_some(Trouble::Closed),
        };
        let wires = self.net.wires(&self.me.node.0);
        wires.into_iter().map(state).collect()
    }
}

fn wire(net: &Arc<Net>, from: &Peer, to: &Peer) -> Result<(Arc<Wire>, Fate), LinkError> {
    let (wire, fate, new) = net.wire(from, to)?;
    if let Some(new) = new {
        tokio::spawn(deliver(Arc::clone(net), Arc::clone(&wire), new));
    }
    Ok((wire, fate))
}

async fn request_over(
    net: &Arc<Net>,
    from: &Peer,
    to: &Peer,
    letter: Letter,
) -> Result<Bytes, LinkError> {
    let (wire, fate) = wire(net, from, to)?;
    let place = net.place(&wire)?;
    let (reply, answer) = oneshot::channel();
    let deadline = letter.deadline;
    let broken = wire.broken.clone();
    // In a task of its own: a request that was sent is carried out whether or not the caller still waits.
    tokio::spawn(set_off(Arc::clone(net), wire, letter, fate, reply));
    let outcome = tokio::select! {
        biased;
        answer = answer => answer.unwrap_or(Err(LinkError::Lost(Trouble::Simulated))),
        () = broken.cancelled() => Err(LinkError::Lost(Trouble::Closed)),
        () = tokio::time::sleep_until(deadline) => Err(LinkError::TimedOut),
    };
    drop::<CallPermit>(place);
    outcome
}

/// Boxed, because [`carry`] of a relay calls itself.
fn set_off(
    net: Arc<Net>,
    wire: Arc<Wire>,
    letter: Letter,
    fate: Fate,
    reply: oneshot::Sender<Result<Bytes, LinkError>>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(carry(net, wire, letter, fate, reply))
}

/// Carries a request to its node, has it answered, and carries the answer back. Dropping `reply` means
/// that the call is lost.
async fn carry(
    net: Arc<Net>,
    wire: Arc<Wire>,
    letter: Letter,
    fate: Fate,
    reply: oneshot::Sender<Result<Bytes, LinkError>>,
) {
    let (from, to) = (&wire.from.0.0, &wire.to.node.0);
    tokio::select! {
        biased;
        () = wire.broken.cancelled() => return,
        () = net.travel(from, to, due(fate.there)) => {}
    }
    match fate.accident {
        Some(Accident::Break) => return wire.broken.cancel(),
        Some(Accident::RequestLost) => return,
        _ => {}
    }
    let Some(node) = net.node(&wire.to) else {
        return;
    };
    let deadline = letter.deadline;
    let work = work(&net, node.service, &wire.to, letter);
    let answer = tokio::select! {
        biased;
        () = node.crashed.cancelled() => return,
        answer = work => answer,
        () = tokio::time::sleep_until(deadline) => Err(LinkError::TimedOut),
    };
    tokio::select! {
        biased;
        () = wire.broken.cancelled() => return,
        () = net.travel(to, from, due(fate.back)) => {}
    }
    if fate.accident != Some(Accident::AnswerLost) {
        // After the deadline nobody waits for the answer.
        drop(reply.send(answer));
    }
}

async fn work(
    net: &Arc<Net>,
    service: Option<Arc<dyn Service>>,
    here: &Peer,
    letter: Letter,
) -> Result<Bytes, LinkError> {
    match letter.errand {
        Errand::Answer => {
            let service = service.ok_or(LinkError::NotSent(Trouble::ConnectTimedOut))?;
            Ok(service
                .call(&letter.origin, letter.payload, letter.deadline)
                .await)
        }
        Errand::PassOn(target) => {
            let letter = Letter {
                errand: Errand::Answer,
                ..letter
            };
            request_over(net, here, &target, letter)
                .await
                .map_err(|error| match error {
                    LinkError::NotSent(_) => LinkError::NotSent(Trouble::Relay),
                    LinkError::Lost(_) => LinkError::Lost(Trouble::Relay),
                    error @ (LinkError::TimedOut | LinkError::Full) => error,
                })
        }
    }
}

/// Delivers a wire's one-way messages in order, and tells the receiver when the wire has broken.
async fn deliver(net: Arc<Net>, wire: Arc<Wire>, new: NewWire) {
    if let Some(before) = new.before {
        before.cancelled().await;
    }
    let node = net.node(&wire.to);
    if let Some(node) = &node {
        tokio::select! {
            biased;
            () = node.crashed.cancelled() => {}
            () = wire.broken.cancelled() => {}
            () = receive(&net, &wire, node.service.as_deref(), new.queue) => wire.broken.cancel(),
        }
        if let Some(service) = &node.service
            && !node.crashed.is_cancelled()
        {
            service.disconnected(&wire.from);
        }
    }
    wire.broken.cancel();
    wire.done.cancel();
}

async fn receive(
    net: &Net,
    wire: &Wire,
    service: Option<&dyn Service>,
    mut queue: tokio::sync::mpsc::Receiver<Posted>,
) {
    while let Some(posted) = queue.recv().await {
        net.travel(&wire.from.0.0, &wire.to.node.0, posted.due)
            .await;
        if posted.breaks {
            return;
        }
        if let Some(service) = service {
            service.receive(&wire.from, posted.message).await;
        }
    }
}
