//! The ports of the cache and of shared tokens on Redis. Leaves to the cache gate whether an entry may be trusted, and to the
//! configuration where the URL comes from.

mod cache;
mod entry;
mod failure;
mod link;
#[cfg(test)]
mod parsing_tests;
mod position;
mod scripts;
mod settings;
mod tokens;

pub use cache::RedisCache;
pub use failure::RedisFailure;
pub use settings::{RedisConfigError, RedisSettings};
pub use tokens::RedisTokens;
