//! The traits through which the core uses the outside: each has a real adapter and an embedded one, and
//! one contract suite for both. Leaves the implementations to the adapters.

pub mod access;
pub mod bus;
pub mod cache;
pub mod clock;
pub mod groups;
pub mod journal;
pub mod live;
pub mod orders;
pub mod outbox;
pub mod retention;
pub mod sagas;
pub mod stock;
pub mod tokens;
