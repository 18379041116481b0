//! The order actors and their supervisors: one node supervisor, one shard supervisor per owned shard, one
//! actor per live order. The domain decides what an order does; storing, caching and showing it are behind
//! ports. This module decides who works on what, and when.

pub mod admission;
pub mod announcer;
pub mod cache_gate;
mod context;
mod errors;
pub mod failures;
mod in_flight;
mod live_orders;
pub mod node;
mod order;
pub mod ownership;
pub mod positions;
pub mod recency;
pub mod saga_route;
mod scanner;
pub mod settings;
mod shard;
mod slots;
mod stuck;
mod supervisor;
mod sweeper;
pub mod tenure;
mod weight;
pub mod without_lease;
mod writer;

pub use node::Node;
pub use settings::Settings;
