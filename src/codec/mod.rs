//! The stored, published and shown forms, with their versions. Domain types are never serialised themselves.
//! Leaves transport to the adapters and the routes.

pub mod content;
#[cfg(test)]
pub(crate) mod damaged;
#[cfg(test)]
mod laws;
pub mod link;
pub mod live;
pub mod message_id;
pub mod messages;
pub mod object;
pub mod rfc3339;
pub mod role;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
pub mod stock;
pub mod stored;
pub mod trace;
pub mod tracking;
pub mod view;
pub mod whole;
