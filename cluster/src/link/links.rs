//! The calling side of the links, as a router sees it. Leaves carrying the bytes to a transport.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::error::LinkError;
use super::peer::Peer;
use super::state::LinkState;

/// The links to other replicas.
#[async_trait]
pub trait Links: Send + Sync + 'static {
    /// One request, one answer. The peer gets what is left of `deadline`, counted by its own clock.
    ///
    /// Fails at once with [`LinkError::NotSent`] while the link is known to be down. Dropping the future
    /// gives up the answer, but the request may still be carried out.
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError>;

    /// Calls a peer that can't be reached from here through a third replica: `through` passes the request
    /// on to `to`, and never further. The service at `to` sees this replica as the caller. The errors
    /// count for the whole way.
    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError>;

    /// Sends a one-way message, in order for each peer. Waits for room in the peer's queue, and for a
    /// link that is being made. `Ok` means accepted, not delivered: the message is lost if the link
    /// breaks before it arrives.
    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError>;

    /// The links of this replica to others, by node id.
    fn states(&self) -> Vec<LinkState>;
}
