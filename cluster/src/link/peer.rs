//! The name under which a link reaches another replica. Leaves the list of replicas to the membership.

use crate::membership::{Incarnation, NodeId};

/// One incarnation of a replica, and where it listens for links.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its name.
    pub node: NodeId,
    /// Its incarnation. A request to one incarnation is never delivered to another one of the same node.
    pub incarnation: Incarnation,
    /// `host:port` of its link listener, as other replicas reach it.
    pub address: String,
}

impl Peer {
    /// Node and incarnation, as a [`super::Service`] sees a caller.
    pub fn identity(&self) -> (NodeId, Incarnation) {
        (self.node.clone(), self.incarnation)
    }
}
