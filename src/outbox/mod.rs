//! The relay: outbox to bus, in order, removed after the acknowledgement.
//!
//! Reading order: `relay` (what is started), `relayed_outbox` (one outbox and what is counted of it), `keeper`
//! (its leases), `pipeline` (fetch, send, remove), `in_hand` (what may go when), `sending` (batches on their
//! way), `watch` (I5).

pub mod backoff;
mod in_hand;
mod keeper;
mod message;
mod pipeline;
pub mod relay;
mod relayed_outbox;
mod sending;
mod settings;
#[cfg(test)]
mod tests;
mod watch;

pub use relay::Relay;
pub use relayed_outbox::OutboxReport;
pub use settings::RelaySettings;
