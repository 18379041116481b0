//! The relay: outbox to bus, in order, removed after the acknowledgement.
//!
//! Reading order: `relay` (what is started), `keeper` (leases of one outbox), `pipeline` (fetch, send,
//! remove), `in_hand` (what may go when), `sending` (batches on their way), `watch` (I5).

pub mod backoff;
mod in_hand;
mod keeper;
mod message;
mod pipeline;
pub mod relay;
mod sending;
#[cfg(test)]
mod tests;
mod watch;

pub use relay::{OutboxReport, Relay, RelaySettings};
