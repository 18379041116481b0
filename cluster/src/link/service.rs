//! The called side of the links, as a router implements it. Leaves carrying the bytes to a transport.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::membership::{Incarnation, NodeId};

/// A replica's handler of its peers' calls and messages.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Calls run concurrently, up to the link's bound.
    ///
    /// `from` is the original caller, even if another replica relayed the request. The future is dropped
    /// at the deadline, because then nobody waits for the answer. Work that must not be cut short belongs
    /// in a task of its own. A panic ends this call alone; its caller gets [`super::LinkError::Lost`].
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes;

    /// Takes a one-way message. The next one of the same peer comes when this has returned. While it
    /// waits, the peer's queue fills, and then the peer's [`super::Links::send`] waits. May be dropped
    /// half-way when the link ends.
    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes);

    /// Called when the link over which `from` sends has ended and no more messages come over it. Messages
    /// may have been lost. The peer may be back at once over a new link, but its messages come only after
    /// this has returned, so it must not block.
    fn disconnected(&self, from: &(NodeId, Incarnation));
}
