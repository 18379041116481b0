//! One live order: its actor, what that is sent, and what others may know of it. What an order does is decided
//! in the domain; when an actor starts and ends is its shard's to decide.

mod actor;
mod entry;
mod execute;
mod locate;
mod message;
mod place;
mod rows;
mod settle;
mod state;

pub use self::actor::{Arguments, OrderActor};
pub use self::entry::Entry;
pub use self::message::{OrderMessage, Reply, Start};
