//! One suite per port, run against every adapter of it.

mod cache;
#[macro_use]
pub mod bus;
pub mod journal;
pub mod membership;
pub mod outbox;
pub mod stock;
pub mod support;
mod journal;
mod membership;
mod postgres;
mod support;
