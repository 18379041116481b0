//! Sharding of keyed entities over replicas: keys, bytes and epochs. Knows nothing of orders.
//!
//! One authority, the [`membership::Membership`] port, decides who owns a shard; the [`Epoch`] of a
//! claim fences writes, and the [`lease::Lease`] of the replica guards answers from memory.

pub mod assignment;
pub mod changes;
pub mod coordinator;
pub mod directory;
pub mod keeper;
pub mod lease;
pub mod link;
pub mod membership;
pub mod names;
pub mod shard;

pub use shard::{Epoch, ShardCount, ShardId, shard_of};
