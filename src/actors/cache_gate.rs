//! The guard between the order actors and the cache. It decides when an entry may be believed, bounds what
//! the cache may cost a command, and asks the cache nothing while it is away.
//!
//! An entry is believed only if it carries the generation that this replica knows for the shard. A write that
//! failed, was too slow or was left out makes the generation unknown at once. Then no older entry of the
//! shard can be read until a higher generation is stored in the database. So a stale read never follows a
//! failed write (I8), whether or not the cache took the write.

mod flights;
mod freshness;
mod gate;
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

pub use self::flights::LoadError;
pub use self::gate::CacheGate;
pub use self::generations::GenerationRaiser;
pub use self::settings::CacheGateSettings;
pub use self::unconfirmed::{Committed, Unconfirmed};
