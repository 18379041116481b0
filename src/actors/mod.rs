//! The order actors and those above them.
pub mod cache_gate;
