//! Links between replicas: bytes to a named peer and an answer back, under a deadline.
//!
//! [`Links`] is what a router calls, [`Service`] is what it implements to be called. A link knows
//! nothing of what the bytes mean; whoever brings a new kind of entity brings its own codec.
//!
//! Two transports implement [`Links`]: [`TonicLinks`] speaks gRPC over TCP between processes,
//! [`memory::MemoryNetwork`] joins several nodes in one process for seeded simulations. Both keep
//! the same promises:
//!
//! - An error says whether the peer may have seen the request ([`LinkError`]). `NotSent` is certain,
//!   so the request may go elsewhere; after `Lost` or `TimedOut` it may have been carried out, and
//!   only a request that carries an id of its own may be repeated.
//! - Calls run side by side, at the peer too, and may overtake each other and the one-way messages.
//!   One-way messages from one peer to another are received one after another, in the order in which
//!   [`Links::send`] accepted them, as long as the link holds.
//! - A link that breaks loses what is on its way. The receiver is told by [`Service::disconnected`],
//!   the callers by their errors, a sender of one-way messages not at all: what has to arrive has to be
//!   asked for again by the receiver.
//! - Every queue has a bound. A call that finds no room fails at once ([`LinkError::Full`]), a
//!   one-way message waits.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::membership::{Incarnation, NodeId};

mod acceptor;
mod backoff;
mod budget;
pub mod channel;
mod dialler;
mod error;
mod grpc;
mod handshake;
mod inbound;
pub mod memory;
mod metering;
mod outbound;
mod pump;
mod registry;
mod secret;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod transport;
mod wire;

pub use error::{LinkError, Refusal, Trouble};
pub use secret::{LinkSecret, SecretTooShort};
pub use settings::{LinkSettings, WireVersions};
pub use transport::TonicLinks;

/// One life of a replica, and where it listens for links.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name.
    pub node: NodeId,
    /// Which life of it. A request to another life of the same node is never delivered.
    pub incarnation: Incarnation,
    /// `host:port` of its link listener, as other replicas reach it.
    pub address: String,
}

impl Peer {
    /// Name and life, as a [`Service`] gets to see a caller.
    pub fn identity(&self) -> (NodeId, Incarnation) {
        (self.node.clone(), self.incarnation)
    }
}

/// The way to other replicas.
#[async_trait]
pub trait Links: Send + Sync + 'static {
    /// One request, one answer. The peer gets what is left of `deadline`, counted by its own clock.
    ///
    /// Fails at once with [`LinkError::NotSent`] while the link is known to be down. Dropping the
    /// future gives the answer up; the request may still be carried out.
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError>;

    /// The same by way of a third replica, for a peer that can't be reached from here: `through`
    /// passes the request on to `to`, and never further. The service at `to` sees this replica as
    /// the caller. The errors count for the whole way.
    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError>;

    /// One way, in order per peer. Waits for room in the peer's queue, and for a link that is being
    /// made. `Ok` means accepted, not delivered: it is lost if the link breaks before it arrives.
    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError>;

    /// The links of this replica to others, by node id.
    fn states(&self) -> Vec<LinkState>;
}

/// What a replica does with what its peers send.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Calls run side by side, up to the link's bound.
    ///
    /// `from` is who asked, even if another replica relayed it. The future is dropped at the
    /// deadline, for then nobody waits for the answer; what must not be cut short belongs in a task
    /// of its own. A panic ends this call alone; its caller gets [`LinkError::Lost`].
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes;

    /// Takes one one-way message; the next of the same peer comes when this has returned. While it
    /// waits the peer's queue fills, and then its [`Links::send`] waits. May be dropped half-way when the
    /// link ends.
    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes);

    /// The link over which `from` sends has ended, and nothing more of it is coming. Messages may
    /// have been lost. The peer may be back at once, over a new link; its messages come only after
    /// this has returned, so it must not block.
    fn disconnected(&self, from: &(NodeId, Incarnation));
}

/// A link as the operator sees it.
#[derive(Clone, Debug)]
pub struct LinkState {
    /// To whom.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Where it is reached.
    pub address: String,
    /// Whether it can be used.
    pub standing: LinkStanding,
    /// Since when it has stood so.
    pub since: Instant,
    /// Calls that wait for an answer.
    pub calls_in_flight: usize,
    /// What went wrong last, if anything ever did; it stays after the link is up again.
    pub last_error: Option<Trouble>,
}

/// Whether a link can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStanding {
    /// Authenticated and working.
    Up,
    /// The first attempt, or the first after a break. Calls wait for its outcome.
    Connecting,
    /// Broken or refused. It is tried again with growing pauses; calls fail at once meanwhile.
    Down,
}

impl LinkStanding {
    /// The word for it on pages and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::Down => "down",
        }
    }
}
