//! Another replica as a link names it. Leaves which replicas there are to the membership.

use crate::membership::{Incarnation, NodeId};

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
    /// Name and life, as a [`super::Service`] gets to see a caller.
    pub fn identity(&self) -> (NodeId, Incarnation) {
        (self.node.clone(), self.incarnation)
    }
}
