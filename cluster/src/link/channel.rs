//! Lets several parties share the same links: the first byte of each message names its party. Leaves the
//! rest of a message to the party.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;

use super::{LinkError, LinkState, Links, Peer, Service};
use crate::coordinator::Coordinator;
use crate::membership::{Incarnation, NodeId};

/// Messages between coordinators.
const COORDINATOR: u8 = 0;
/// Messages between the hosts of entities.
const ENTITIES: u8 = 1;

/// The coordinators' part of `links`.
pub fn for_coordinator(links: Arc<dyn Links>) -> Arc<dyn Links> {
    Arc::new(Channel {
        links,
        tag: COORDINATOR,
    })
}

/// The entities' part of `links`.
pub fn for_entities(links: Arc<dyn Links>) -> Arc<dyn Links> {
    Arc::new(Channel {
        links,
        tag: ENTITIES,
    })
}

struct Channel {
    links: Arc<dyn Links>,
    tag: u8,
}

impl Channel {
    fn tagged(&self, message: &Bytes) -> Bytes {
        let mut tagged = BytesMut::with_capacity(message.len() + 1);
        tagged.put_u8(self.tag);
        tagged.put_slice(message);
        tagged.freeze()
    }
}

#[async_trait]
impl Links for Channel {
    async fn call(&self, to: &Peer, request: Bytes, deadline: Instant) -> Result<Bytes, LinkError> {
        self.links.call(to, self.tagged(&request), deadline).await
    }

    async fn relay(
        &self,
        through: &Peer,
        to: &Peer,
        request: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, LinkError> {
        let request = self.tagged(&request);
        self.links.relay(through, to, request, deadline).await
    }

    async fn send(&self, to: &Peer, message: Bytes) -> Result<(), LinkError> {
        self.links.send(to, self.tagged(&message)).await
    }

    fn states(&self) -> Vec<LinkState> {
        self.links.states()
    }
}

/// Gives each incoming message to its party.
pub struct Switch {
    /// Answers offers.
    pub coordinator: Arc<Coordinator>,
    /// Everything else.
    pub entities: Arc<dyn Service>,
}

#[async_trait]
impl Service for Switch {
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes {
        match request.first() {
            Some(&COORDINATOR) => self.coordinator.answer(from, &request[1..]).await,
            Some(&ENTITIES) => self.entities.call(from, request.slice(1..), deadline).await,
            // The party belongs to a later version. No party understands an empty answer as success.
            _ => Bytes::new(),
        }
    }

    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes) {
        if message.first() == Some(&ENTITIES) {
            self.entities.receive(from, message.slice(1..)).await;
        }
    }

    fn disconnected(&self, from: &(NodeId, Incarnation)) {
        self.entities.disconnected(from);
    }
}
