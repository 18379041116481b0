//! The called side of the links, as a router implements it. Leaves carrying the bytes to a transport.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::membership::{Incarnation, NodeId};

/// What a replica does with what its peers send.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Calls run side by side, up to the link's bound.
    ///
    /// `from` is who asked, even if another replica relayed it. The future is dropped at the
    /// deadline, for then nobody waits for the answer; what must not be cut short belongs in a task
    /// of its own. A panic ends this call alone; its caller gets [`super::LinkError::Lost`].
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes;

    /// Takes one one-way message; the next of the same peer comes when this has returned. While it
    /// waits the peer's queue fills, and then its [`super::Links::send`] waits. May be dropped half-way when the
    /// link ends.
    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes);

    /// The link over which `from` sends has ended, and nothing more of it is coming. Messages may
    /// have been lost. The peer may be back at once, over a new link; its messages come only after
    /// this has returned, so it must not block.
    fn disconnected(&self, from: &(NodeId, Incarnation));
}
