//! The relay: carries outbox rows to the bus, in order, and removes them after the acknowledgement.
//!
//! Reading order: `relay` (the relay of a process), `relayed_outbox` (one outbox and its counters),
//! `outbox_relay` (its leases), `pipeline` (fetch, send, remove), `fetched_rows` (which row may be sent
//! when), `sending` (batches in flight), `ordering` (I5).

mod exchange;
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
