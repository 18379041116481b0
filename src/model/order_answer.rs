//! The answers to requests about an order. Leaves the requests to [`super::order_request`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;

use super::position::Position;

/// The answer to an [`OrderRequest`](super::order_request::OrderRequest). Each kind of request has its
/// own, except that placing and commands share [`Self::Done`].
#[derive(Clone, Debug)]
pub enum OrderAnswer {
    /// Placed, or the command ran.
    Done(Done),
    /// The view.
    Read(Read),
    /// The whole order.
    History(History),
    /// The position was taken.
    Located {
        /// It had been taken before under the same key, so nothing has changed.
        replayed: bool,
    },
    /// For operations.
    Report(ActorReport),
    /// Tried again.
    Released {
        /// It was quarantined.
        was_quarantined: bool,
    },
}

/// A command's success.
#[derive(Clone, Debug)]
pub struct Done {
    /// The order as the command left it (for a repeat: as the first left it).
    pub order: Arc<Order>,
    /// Its view without the courier, if that was rendered already.
    pub view: Option<Bytes>,
    /// The id was known: this is the first answer again.
    pub replayed: bool,
    /// Its courier, if one is under way and this is the current state.
    pub position: Option<Position>,
}

/// An order as read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The rendered view's version.
    pub version: Version,
    /// The view's JSON (`codec::view`), without the courier.
    pub view: Bytes,
    /// Its courier, if one is under way.
    pub position: Option<Position>,
    /// How old the answer may be. Set only while the journal is away and the lease has run out.
    pub age: Option<Duration>,
}

/// An order with its log.
#[derive(Clone, Debug)]
pub struct History {
    /// The order.
    pub order: Arc<Order>,
    /// As in [`Read::age`].
    pub age: Option<Duration>,
}

/// The states of an order's actor.
pub const ACTOR_STATES: [&str; 4] = ["live", "passive", "restarting", "quarantined"];

/// A report on one order's actor, for operations.
#[derive(Clone, Debug)]
pub struct ActorReport {
    /// `live`, `passive`, `restarting` or `quarantined`.
    pub state: &'static str,
    /// The shard.
    pub shard: u16,
    /// The shard's epoch.
    pub epoch: i64,
    /// The order's version, when live.
    pub version: Option<Version>,
    /// Commands admitted and not yet answered.
    pub mailbox: u32,
    /// Failures in the last minute.
    pub restarts: u32,
    /// The last failure, and when.
    pub last_error: Option<(String, Timestamp)>,
}
