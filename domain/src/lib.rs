//! The order and the stock, as pure code: no runtime, no I/O, no clock, no randomness. Time and ids come
//! in as arguments, and decisions come out as data.
//!
//! Domain types are never serialised: stored and published forms belong to the
//! `codec` of the main crate.

pub mod access;
pub mod command;
pub mod country;
pub mod decide;
pub mod event;
pub mod evolve;
pub mod ids;
pub mod invariants;
pub mod money;
pub mod order;
pub mod placed;
pub mod saga;
pub mod status;
pub mod stock;
pub mod time;
pub mod visible;

#[cfg(test)]
mod laws;
