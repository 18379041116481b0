//! One owned shard: who is let in, and how a message reaches the actor of its order. What an order does with
//! it is the actor's to decide; which shards are owned is the ownership's to know.

mod core;
mod enter;
mod send;

pub use self::core::Shard;
pub use self::enter::{Closed, Entered};
