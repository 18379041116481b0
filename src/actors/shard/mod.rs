//! One owned shard: what it lets in, and how a message reaches the actor of its order. The actor decides what
//! an order does with a message; the ownership knows which shards are owned.

mod core;
mod enter;
mod send;

pub use self::core::Shard;
pub use self::enter::{Closed, Entered};
