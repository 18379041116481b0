//! The messages to an order's actor, and where it answers.

use std::sync::Arc;

use tokio::sync::oneshot;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;

use crate::actors::admission::Permit;
use crate::model::order_answer::Done;
use crate::model::order_request::{CommandRequest, LocateRequest, PlaceRequest};
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveListener;

/// What a new actor has to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The id was drawn a moment ago: there is nothing to load.
    Fresh,
    /// Load the order when the first message comes.
    Stored,
    /// Load the order at once and tell the listeners what they lack: its predecessor failed.
    Restarted,
}

/// Where an answer goes. It is dropped unanswered only if the actor fails.
pub type Reply<T> = oneshot::Sender<Result<T, OrdersError>>;

/// A message to an order's actor.
pub enum OrderMessage {
    /// Create the order.
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
    /// Take in the courier's position; answers whether it was taken in before.
    Locate(Box<LocateRequest>, Reply<bool>, Permit),
    /// Load the order if it isn't loaded, and tell the listeners what they lack. This is the first message of
    /// a restarted actor, and of one whose shard has come from another replica.
    Wake(Option<Reply<()>>, Permit),
}
