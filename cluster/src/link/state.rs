//! The state of a link, as the operator sees it. Leaves keeping it to the transport.

use tokio::time::Instant;

use super::error::Trouble;
use crate::membership::{Incarnation, NodeId};

/// A link as the operator sees it.
#[derive(Clone, Debug)]
pub struct LinkState {
    /// The peer.
    pub node: NodeId,
    /// The peer's incarnation.
    pub incarnation: Incarnation,
    /// The peer's address.
    pub address: String,
    /// Whether it can be used.
    pub status: LinkStatus,
    /// When the link last changed its status.
    pub since: Instant,
    /// Calls that wait for an answer.
    pub calls_in_flight: usize,
    /// The last trouble, if there was any. It stays after the link is up again.
    pub last_error: Option<Trouble>,
}

/// Whether a link can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkStatus {
    /// Authenticated and working.
    Up,
    /// The first attempt, or the first after a break. Calls wait for its outcome.
    Connecting,
    /// Broken or refused. It is tried again with growing pauses; calls fail at once meanwhile.
    Down,
}

impl LinkStatus {
    /// The word for it on pages and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::Down => "down",
        }
    }
}
