//! Why a request about an order fails, at its owner or on the way to it. Leaves status codes to the HTTP
//! layer.

use std::time::Duration;

use thiserror::Error;
use trackops_domain::decide::Rejection;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;

/// Why a command or read failed.
#[derive(Clone, Debug, Error)]
pub enum OrdersError {
    /// No such order.
    #[error("no such order")]
    NotFound,
    /// There is such an order, but not for this caller, who is told the same as if there were none.
    #[error("no such order")]
    Hidden,
    /// The order's status doesn't allow it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The order's status allows the step, but this caller may not take it.
    #[error("this caller may not take an order from {current} to {wanted}")]
    Forbidden {
        /// Its status.
        current: Status,
        /// The status that was asked for.
        wanted: Status,
    },
    /// `if_match` names another version.
    #[error("the order is at version {current}")]
    PreconditionFailed {
        /// The order's version.
        current: Version,
    },
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// A courier's position for an order that is not IN_TRANSIT.
    #[error("the order is {status}")]
    NotInTransit {
        /// Its status.
        status: Status,
    },
    /// The order failed again and again and waits for an operator.
    #[error("the order is quarantined")]
    Quarantined,
    /// Its actor failed while it worked on this; a retry is safe.
    #[error("the order's actor was restarted")]
    Restarted,
    /// The replica or the order has too much to do.
    #[error("{full}")]
    Overloaded {
        /// What is full.
        full: Full,
        /// When to come back.
        retry_after: Duration,
    },
    /// The order can't be worked on, however often it is tried: its stored data can't be read, or the
    /// journal refuses its new data. This is a fault of ours.
    #[error("the order can't be worked on: {why}")]
    Broken {
        /// For logs.
        why: &'static str,
    },
    /// Another replica owns the order. Nothing was done. The caller must ask the owner; if the owner
    /// can't be found, the same request may be sent again later.
    #[error("another replica owns the order")]
    NotOwner,
    /// The replica's lease has run out, so it may not speak for the order now. Nothing was written. Either
    /// the lease is renewed in a moment, or another replica takes the order over.
    #[error("not available: the replica's lease has run out")]
    LeaseOver,
    /// The journal is away. Retry with the same id.
    #[error("not available: {why}")]
    Unavailable {
        /// For the problem's detail.
        why: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// The replica that owns the order is unavailable, but this one isn't. Orders of other replicas may
    /// be fine.
    #[error("the order's owner is not available: {why}")]
    OwnerUnavailable {
        /// For the problem's detail.
        why: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
}

/// The limit that made a replica refuse a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Requests that wait for the order.
    Order,
    /// Requests that wait on the replica.
    Replica,
    /// The bytes of the requests that wait on the replica.
    Bytes,
    /// Live orders, all of them at work.
    Actors,
    /// Requests that wait for the order's shard, which is moving.
    Move,
    /// Requests in flight to the order's replica.
    Link,
    /// Orders that another replica watches here.
    Watches,
}

impl Full {
    const ALL: [Self; 7] = [
        Self::Order,
        Self::Replica,
        Self::Bytes,
        Self::Actors,
        Self::Move,
        Self::Link,
        Self::Watches,
    ];

    /// The name in metrics and on links.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Replica => "replica",
            Self::Bytes => "bytes",
            Self::Actors => "actors",
            Self::Move => "move",
            Self::Link => "link",
            Self::Watches => "watches",
        }
    }

    /// The limit of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|full| full.as_str() == word)
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Order => "too many requests are waiting for this order",
            Self::Replica => "too many requests are waiting on this replica",
            Self::Bytes => "the requests that are waiting on this replica are too large together",
            Self::Actors => "too many orders are at work on this replica",
            Self::Move => "too many requests are waiting for the order's shard, which is moving",
            Self::Link => "too many requests are under way to the order's replica",
            Self::Watches => "too many orders are watched from another replica",
        })
    }
}

impl OrdersError {
    /// The answer doesn't belong to the request: a fault of ours, or of another version.
    pub const UNEXPECTED_ANSWER: Self = Self::OwnerUnavailable {
        why: "the order's owner gave an unexpected answer",
        retry_after: Duration::from_secs(1),
    };
}
