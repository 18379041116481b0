//! One owned shard: what it lets in, and how a message reaches the actor of its order. The actor decides what
//! an order does with a message; the ownership knows which shards are owned.

mod enter;
mod local_shard;
mod send;

pub use self::enter::{Closed, Entered};
pub use self::local_shard::Shard;
