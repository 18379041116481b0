//! The relay: outbox to bus, in order, removed after the acknowledgement.
//!
//! Reading order: `relay` (what is started), `keeper` (leases and workers of one outbox), `lane` (one
//! worker), `waves` (what may go together), `watch` (I5).

pub mod backoff;
mod keeper;
mod lane;
mod message;
pub mod relay;
#[cfg(test)]
mod tests;
mod watch;
mod waves;

pub use relay::{OutboxReport, Relay, RelaySettings};
