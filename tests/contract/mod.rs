//! One suite per port, run against every adapter of it.

mod cache;
#[macro_use]
pub mod bus;
