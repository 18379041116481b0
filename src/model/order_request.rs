//! The requests about an order, and the ids that are derived from idempotency keys. Leaves the answers to
//! [`super::order_answer`].

use std::borrow::Cow;
use std::sync::Arc;

use trackops_domain::access::{Caller, Role, Subject};
use trackops_domain::command::Command;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::placed::Placed;

use super::position::Position;

/// A request to the owner of an order.
#[derive(Clone, Debug)]
pub enum OrderRequest {
    /// Place a new order; answered after the commit.
    Place(PlaceRequest),
    /// Run a command; answered after the commit. Checks in this order: known order, known command id,
    /// `if_match`, the step to the same status, legality.
    Execute(CommandRequest),
    /// The current view, for this caller.
    Read(OrderId, Caller),
    /// The whole order with its log, for this caller.
    History(OrderId, Caller),
    /// Store and push the courier's position.
    Locate(LocateRequest),
    /// A report on the order's actor, for operations.
    Inspect(OrderId),
    /// Let a quarantined order try again.
    Release(OrderId),
}

impl OrderRequest {
    /// Which order; `None` for a new one without an idempotency key.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Place(request) => request.key.map(|key| key.order),
            Self::Execute(request) => Some(request.order),
            Self::Locate(request) => Some(request.order),
            Self::Read(order, _)
            | Self::History(order, _)
            | Self::Inspect(order)
            | Self::Release(order) => Some(*order),
        }
    }
}

/// A new order.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// What is ordered.
    pub content: Arc<Placed>,
    /// What the idempotency key says, if there is one.
    pub key: Option<PlaceKey>,
    /// On whose behalf.
    pub caller: Caller,
    /// Trace context.
    pub traceparent: Option<Arc<str>>,
}

/// The idempotency key of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceKey {
    /// [`keyed_order_id`] of caller and key.
    pub order: OrderId,
    /// SHA-256 of the canonical body.
    pub body: [u8; 32],
}

/// A command to an existing order.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// Which order.
    pub order: OrderId,
    /// The command's id: [`command_id`] of the idempotency key, the message's id, or a new one.
    pub id: CommandId,
    /// Whether the caller may repeat it under the same id. A success without a change is then remembered
    /// too.
    pub keyed: bool,
    /// On whose behalf.
    pub caller: Caller,
    /// The versions of which the order must have one; `None` if any will do.
    pub if_match: Option<Vec<Version>>,
    /// What.
    pub command: Command,
    /// Trace context.
    pub traceparent: Option<Arc<str>>,
}

/// A courier's position. Positions and their keys are not journalled: both are known for as long as the
/// order's actor lives.
#[derive(Clone, Debug)]
pub struct LocateRequest {
    /// Which order.
    pub order: OrderId,
    /// Where the courier is.
    pub position: Position,
    /// The key under which it may be repeated.
    pub key: Option<LocationKey>,
    /// On whose behalf.
    pub caller: Caller,
}

/// The idempotency key of a courier's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationKey {
    /// [`command_id`] of the key.
    pub id: CommandId,
    /// SHA-256 of the canonical body.
    pub body: [u8; 32],
}

/// The id of the order that a caller's idempotency key names: UUIDv5, the same on any replica, for ever. Two
/// callers with the same key have two orders. Anonymous callers share their keys.
pub fn keyed_order_id(caller: &Caller, key: &str) -> OrderId {
    let name = named(caller, key);
    OrderId(uuid::Uuid::new_v5(&KEY_NAMESPACE, name.as_bytes()))
}

/// The id of a caller's keyed command: UUIDv5 of the order, the caller and the key.
pub fn command_id(caller: &Caller, order: OrderId, key: &str) -> CommandId {
    CommandId(uuid::Uuid::new_v5(&order.0, named(caller, key).as_bytes()))
}

/// A caller's key. Keys may be short, so two callers' are kept apart.
fn named<'a>(caller: &Caller, key: &'a str) -> Cow<'a, str> {
    let subject = caller.subject().filter(|_| !caller.is_anonymous());
    let (Some(Subject { issuer, name }), Some(role)) = (subject, caller.role()) else {
        return Cow::Borrowed(key);
    };
    let customer = match role {
        Role::Customer(id) => id.to_string(),
        _ => String::new(),
    };
    let role = role.name();
    // None of them has a NUL in it, so no two callers' keys make the same text.
    Cow::Owned(format!("{issuer}\0{role}\0{customer}\0{name}\0{key}"))
}

/// Namespace of idempotency keys (a fixed random UUID).
const KEY_NAMESPACE: uuid::Uuid = uuid::Uuid::from_u128(0x8f1b_6f2c_53a4_4c1e_9a57_2f60_1d5e_7b43);
