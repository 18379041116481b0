//! Doubles that fail at a chosen call: for what the real servers can't do on demand.

pub mod authority;
pub mod journal;
pub mod membership;
pub mod outbox;
pub mod session;
