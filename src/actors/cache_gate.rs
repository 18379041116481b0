//! The guard between the order actors and the cache: decides when an entry may be believed, bounds
//! what the cache may cost a command, and keeps the cache from being asked while it is away.
//!
//! An entry is believed only if it carries the generation that this replica knows for the shard. A
//! write that failed, was too slow or was left out makes the generation unknown at once, and so
//! every older entry of the shard unreadable, until a higher one is stored in the database. That is
//! why a failed write is never followed by a stale read (I8), whatever became of it in the cache.

mod core;
mod flights;
mod freshness;
mod generations;
mod hand_over;
mod pending;
mod read;
mod repair;
mod requests;
mod settings;
#[cfg(test)]
mod tests;
mod unconfirmed;

pub use self::core::CacheGate;
pub use self::flights::LoadError;
pub use self::generations::GenerationRaiser;
pub use self::settings::CacheGateSettings;
pub use self::unconfirmed::{Committed, Unconfirmed};
