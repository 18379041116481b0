//! One suite per port, run against every adapter of it.

pub mod access;
mod cache;
mod embedded;
pub(crate) mod kafka;
#[macro_use]
pub mod bus;
#[macro_use]
pub mod groups;
mod bus_support;
pub mod journal;
mod journal_lists;
pub mod membership;
pub mod membership_moves;
pub mod outbox;
mod postgres;
mod postgres_locks;
mod postgres_moves;
mod postgres_outbox;
mod postgres_shops;
mod postgres_stock;
mod redis_failover;
pub mod retention;
pub mod sagas;
pub mod stock;
mod stock_items;
mod stock_sums;
pub mod support;
mod tokens;
