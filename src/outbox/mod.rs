//! The relay: outbox to bus, in order, removed after the acknowledgement.
//!
//! Reading order: `relay` (what is started), `relayed_outbox` (one outbox and what is counted of it), `keeper`
//! (its leases), `pipeline` (fetch, send, remove), `in_hand` (what may go when), `sending` (batches on their
//! way), `ordering` (I5).

pub mod backoff;
mod fetched_rows;
mod message;
mod ordering;
mod outbox_relay;
mod pipeline;
pub mod relay;
mod relayed_outbox;
mod sending;
mod settings;
#[cfg(test)]
mod tests;

pub use relay::Relay;
pub use relayed_outbox::OutboxReport;
pub use settings::RelaySettings;
