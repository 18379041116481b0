//! The order actors and those above them: node supervisor, one shard supervisor per owned shard,
//! one actor per live order. What an order does is decided in the domain; where it is stored, cached
//! and shown is behind ports; this module owns who works on what, and when.
pub mod admission;
pub mod announcer;
pub mod cache_gate;
pub mod failures;
pub mod handover;
pub mod node;
pub mod order;
mod order_append;
mod order_location;
mod order_place;
mod order_settle;
pub mod ownership;
pub mod positions;
pub mod reads;
pub mod recency;
mod room;
pub mod saga_route;
pub mod scanner;
pub mod settings;
pub mod shard;
pub mod supervisor;
pub mod sweeper;
pub mod tenure;
mod weight;
pub mod writer;
pub use node::Node;
pub use settings::Settings;
