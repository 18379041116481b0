//! What an order's actor is sent, and where it answers.

use std::sync::Arc;

use tokio::sync::oneshot;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;

use crate::actors::admission::Permit;
use crate::model::order_answer::Done;
use crate::model::order_request::{CommandRequest, LocationKey, PlaceRequest};
use crate::model::orders_error::OrdersError;
use crate::model::position::Position;
use crate::ports::live::LiveListener;

/// What a new actor has to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its id was drawn a moment ago: there is nothing to load.
    Fresh,
    /// Load it when the first message comes.
    Stored,
    /// Load it at once and tell the listeners what they lack: its predecessor failed.
    Restarted,
}

/// Where an answer goes. Dropped unanswered only if the actor fails.
pub type Reply<T> = oneshot::Sender<Result<T, OrdersError>>;

/// What an order's actor is sent.
pub enum OrderMessage {
    /// Create it.
    Place(Box<PlaceRequest>, Reply<Done>, Permit),
    /// Run a command.
    Execute(Box<CommandRequest>, Reply<Done>, Permit),
    /// Register a listener.
    Subscribe(
        Arc<dyn LiveListener>,
        Option<Version>,
        Reply<Arc<Order>>,
        Permit,
    ),
    /// The courier has moved; whether that was known.
    Locate(Position, Option<LocationKey>, Reply<bool>, Permit),
    /// Load, if that hasn't happened, and tell the listeners what they lack: the first message of a
    /// restarted actor, and of one whose shard has come from another replica.
    Wake(Option<Reply<()>>, Permit),
}
