//! The errors of links, sorted by what the caller may do next.

use std::io;
use std::sync::Arc;

use thiserror::Error;

/// Why a call or a one-way message failed.
#[derive(Clone, Debug, Error)]
pub enum LinkError {
    /// Certainly not delivered: it may be sent again, over any link.
    #[error("not sent")]
    NotSent(#[source] Trouble),
    /// Written, then the link broke: it may have been carried out.
    #[error("the link broke before the answer")]
    Lost(#[source] Trouble),
    /// The deadline passed: it may have been carried out, or may still be.
    #[error("no answer within the deadline")]
    TimedOut,
    /// Too many calls to this peer are in flight. Certainly not delivered.
    #[error("too much is on its way to the peer")]
    Full,
}

impl LinkError {
    /// Whether the request was certainly not delivered, so that any request may be repeated.
    pub fn never_delivered(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Full)
    }

    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Lost(_) => "lost",
            Self::TimedOut => "timed_out",
            Self::Full => "full",
        }
    }
}

/// What is wrong with a link.
#[derive(Clone, Debug, Error)]
pub enum Trouble {
    /// This replica has no links.
    #[error("this replica has no links")]
    NoLinks,
    /// No connection to the peer's address.
    #[error("can't connect: {0}")]
    Connect(#[source] Arc<io::Error>),
    /// Connection or handshake took too long.
    #[error("no connection in time")]
    ConnectTimedOut,
    /// The two ends have no TLS with each other: one of them doesn't speak it, or refuses the other's
    /// certificate.
    #[error("no TLS: {0}")]
    Tls(Arc<str>),
    /// One of the two ends refused the other.
    #[error("refused: {0}")]
    Refused(#[source] Refusal),
    /// The connection failed, or the peer was silent for too long.
    #[error("the connection broke: {0}")]
    Broken(Arc<str>),
    /// The peer ended it.
    #[error("the peer closed the link")]
    Closed,
    /// This replica or the peer is shutting down.
    #[error("shutting down")]
    Stopping,
    /// A newer incarnation of the same node has replaced it.
    #[error("a newer incarnation of the node is known")]
    Superseded,
    /// The message is larger than the bound on one message.
    #[error("{bytes} bytes are more than the {bytes_max} of one message")]
    TooLarge {
        /// Its size; zero if only the peer knows it.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The peer's version doesn't know this kind of request.
    #[error("the peer doesn't know this kind of request")]
    Unknown,
    /// The relaying replica couldn't reach the target, or lost the link to it.
    #[error("the relaying replica couldn't deliver")]
    Relay,
    /// The peer's service failed in the middle of the call.
    #[error("the peer failed while it worked on the call")]
    ServiceFailed,
    /// A simulated fault.
    #[error("simulated fault")]
    Simulated,
}

/// Why one end refuses the other. Before a proof an end sends only the first three, and they
/// reveal nothing about the replica but its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A frame that a replica wouldn't send at this point.
    #[error("not a handshake of replicas")]
    Malformed,
    /// No wire version in common.
    #[error("no wire version in common")]
    Version,
    /// The other end doesn't know the shared secret.
    #[error("the shared secrets differ")]
    Secret,
    /// Another node answers at this address.
    #[error("another node is at this address")]
    Node,
    /// The node is there, in another incarnation.
    #[error("another incarnation of the node is at this address")]
    Incarnation,
    /// The two were set up for different numbers of shards.
    #[error("the shard counts differ")]
    ShardCount,
    /// A newer incarnation of the dialling node has linked already.
    #[error("a newer incarnation of the dialling node has been here")]
    Superseded,
    /// The replica is shutting down.
    #[error("the replica is shutting down")]
    Stopping,
    /// The reason comes from a newer version.
    #[error("for a reason that this version doesn't know")]
    Other,
}

impl Refusal {
    /// The number on the wire; never given a second meaning.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Other => 0,
            Self::Malformed => 1,
            Self::Version => 2,
            Self::Secret => 3,
            Self::Node => 4,
            Self::Incarnation => 5,
            Self::ShardCount => 6,
            Self::Superseded => 7,
            Self::Stopping => 8,
        }
    }

    pub(super) fn from_code(code: u32) -> Self {
        [
            Self::Malformed,
            Self::Version,
            Self::Secret,
            Self::Node,
            Self::Incarnation,
            Self::ShardCount,
            Self::Superseded,
            Self::Stopping,
        ]
        .into_iter()
        .find(|refusal| refusal.code() == code)
        .unwrap_or(Self::Other)
    }
}
