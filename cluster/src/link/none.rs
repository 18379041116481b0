//! The links of a replica that has none: it reaches nobody, and nobody reaches it.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::error::{LinkError, Trouble};
use super::links::Links;
use super::peer::Peer;
use super::state::LinkState;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct NoLinks;

#[async_trait]
impl Links for NoLinks {
    async fn call(&self, _: &Peer, _: Bytes, _: Instant) -> Result<Bytes, LinkError> {
        Err(LinkError::NotSent(Trouble::NoLinks))
    }

    async fn relay(&self, _: &Peer, _: &Peer, _: Bytes, _: Instant) -> Result<Bytes, LinkError> {
        Err(LinkError::NotSent(Trouble::NoLinks))
    }

    async fn send(&self, _: &Peer, _: Bytes) -> Result<(), LinkError> {
        Err(LinkError::NotSent(Trouble::NoLinks))
    }

    fn states(&self) -> Vec<LinkState> {
        Vec::new()
    }
}
