//! One live order: its actor, the actor's messages, and what others may know of the order. The domain decides
//! what an order does; its shard decides when an actor starts and ends.

mod access;
mod actor;
mod entry;
mod execute;
mod locate;
mod message;
mod place;
mod rows;
mod settle;
mod state;

pub use self::access::visible;
pub use self::actor::{Arguments, OrderActor};
pub use self::entry::Entry;
pub use self::message::{OrderMessage, Reply, Start};
