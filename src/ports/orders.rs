//! The orders as their callers (REST, sockets, consumers) see them: commands, reads, subscriptions.
//! Implemented by `actors`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::command::Command;
use trackops_domain::decide::Rejection;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::placed::Placed;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::cache::Position;
use super::live::Session;

/// A new order.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// What is ordered.
    pub content: Arc<Placed>,
    /// Idempotency key and the SHA-256 of the canonical body.
    pub key: Option<(Box<str>, [u8; 32])>,
    /// Trace context.
    pub traceparent: Option<Arc<str>>,
}

/// A command to an existing order.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// Which order.
    pub order: OrderId,
    /// The command's id: [`command_id`] of the idempotency key, the message's id, or a new one.
    pub id: CommandId,
    /// The caller may repeat it under the same id: a success without a change is remembered too.
    pub keyed: bool,
    /// On whose behalf.
    pub by: Arc<str>,
    /// The versions of which the order must have one; `None` if any will do.
    pub if_match: Option<Vec<Version>>,
    /// What.
    pub command: Command,
    /// Trace context.
    pub traceparent: Option<Arc<str>>,
}

/// The idempotency key of a courier's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationKey {
    /// [`command_id`] of the key.
    pub id: CommandId,
    /// SHA-256 of the canonical body.
    pub body: [u8; 32],
}

/// A command's success.
#[derive(Clone, Debug)]
pub struct Done {
    /// The order as the command left it (for a repeat: as the first left it).
    pub order: Arc<Order>,
    /// Its view without the courier, if that was rendered already.
    pub view: Option<bytes::Bytes>,
    /// The id was known: this is the first answer again.
    pub replayed: bool,
    /// Its courier, if one is under way and this is the current state.
    pub position: Option<Position>,
}

impl Done {
    /// The view's JSON (`codec::view`), without the courier.
    pub fn rendered(&self) -> bytes::Bytes {
        let render = || crate::codec::view::render(&self.order);
        self.view.clone().unwrap_or_else(render)
    }
}

/// An order as read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The rendered view's version.
    pub version: Version,
    /// The view's JSON (`codec::view`), without the courier.
    pub view: bytes::Bytes,
    /// Its courier, if one is under way.
    pub position: Option<Position>,
    /// How old the answer may be: only while the journal is away and the lease has run out.
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

/// For want of which room a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Requests that wait for the order.
    Order,
    /// Requests that wait on the replica.
    Replica,
    /// What the requests weigh that wait on the replica.
    Bytes,
    /// Live orders, all of them at work.
    Actors,
    /// Requests that wait for the order's shard, which is moving.
    Move,
    /// Requests under way to the order's replica.
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

    /// The word for it in metrics and on links.
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

    /// Of its word.
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

/// Why a command or read failed.
#[derive(Clone, Debug, Error)]
pub enum OrdersError {
    /// No such order.
    #[error("no such order")]
    NotFound,
    /// The order's status doesn't allow it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// `if_match` names another version.
    #[error("the order is at version {current}")]
    PreconditionFailed {
        /// The order's version.
        current: Version,
    },
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// The courier's position of an order that is not IN_TRANSIT.
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
    /// This order can't be worked on, however often it is tried: what is stored can't be read, or
    /// the journal refuses what would be stored. A fault of ours.
    #[error("the order can't be worked on: {why}")]
    Broken {
        /// For logs.
        why: &'static str,
    },
    /// Another replica speaks for the order. Nothing was done; the owner has to be asked, and where
    /// it can't be found, the same request may be sent again later.
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
    /// The same of the replica that owns the order, while this one has what it needs: orders of
    /// other replicas may be fine.
    #[error("the order's owner is not available: {why}")]
    OwnerUnavailable {
        /// For the problem's detail.
        why: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
}

/// What operations sees of one order's actor.
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

/// Commands and reads of orders.
#[async_trait]
pub trait Orders: Send + Sync + 'static {
    /// Places an order; answered after the commit.
    async fn place(&self, request: PlaceRequest) -> Result<Done, OrdersError>;

    /// Runs a command; answered after the commit. Checks in this order: known order, known command
    /// id, `if_match`, the step to the same status, legality.
    async fn execute(&self, request: CommandRequest) -> Result<Done, OrdersError>;

    /// The current view.
    async fn read(&self, order: OrderId) -> Result<Read, OrdersError>;

    /// The whole order with its log, for the history.
    async fn history(&self, order: OrderId) -> Result<History, OrdersError>;

    /// Keeps and pushes the courier's position. `true` for a repeat under a known key, which changes
    /// nothing. Positions are not journalled and neither are their keys: both are known for as long
    /// as the order's actor lives.
    async fn locate(
        &self,
        order: OrderId,
        position: Position,
        key: Option<LocationKey>,
    ) -> Result<bool, OrdersError>;

    /// Subscribes `session` from `since`; returns the order as of the registration.
    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        session: Arc<dyn Session>,
    ) -> Result<Arc<Order>, OrdersError>;

    /// What operations wants to know.
    async fn inspect(&self, order: OrderId) -> Result<ActorReport, OrdersError>;

    /// Lets a quarantined order try again; `false` if it wasn't quarantined.
    async fn release(&self, order: OrderId) -> Result<bool, OrdersError>;
}

/// The id of the order that an idempotency key names: UUIDv5, the same on any replica, for ever.
pub fn keyed_order_id(key: &str) -> OrderId {
    OrderId(uuid::Uuid::new_v5(&KEY_NAMESPACE, key.as_bytes()))
}

/// The id of a keyed command: UUIDv5 of the order and the key.
pub fn command_id(order: OrderId, key: &str) -> CommandId {
    CommandId(uuid::Uuid::new_v5(&order.0, key.as_bytes()))
}

/// Namespace of idempotency keys (a fixed random UUID).
const KEY_NAMESPACE: uuid::Uuid = uuid::Uuid::from_u128(0x8f1b_6f2c_53a4_4c1e_9a57_2f60_1d5e_7b43);
