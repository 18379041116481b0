//! One suite per port, run against every adapter of it.

mod cache;
#[macro_use]
pub mod bus;
mod bus_support;
pub mod journal;
pub mod membership;
pub mod membership_moves;
pub mod outbox;
mod postgres;
mod postgres_locks;
mod postgres_moves;
pub mod retention;
pub mod stock;
mod stock_sums;
pub mod support;
