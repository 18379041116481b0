//! Links between replicas: bytes to a named peer and an answer back, under a deadline.
//!
//! [`Links`] is what a router calls, [`Service`] is what it implements to be called. A link doesn't know
//! what the bytes mean: a new kind of entity brings its own codec.
//!
//! Two transports implement [`Links`]: [`TonicLinks`] speaks gRPC over TCP or TLS between processes,
//! [`memory::MemoryNetwork`] joins several nodes in one process for seeded simulations. A replica without
//! links has [`NoLinks`]. Both transports keep the same promises:
//!
//! - An error says whether the peer may have seen the request ([`LinkError`]). `NotSent` is certain,
//!   so the request may go elsewhere; after `Lost` or `TimedOut` it may have been carried out, and
//!   only a request that carries an id of its own may be repeated.
//! - Calls run concurrently, at the peer too, and may overtake each other and the one-way messages.
//!   One-way messages from one peer to another are received one after another, in the order in which
//!   [`Links::send`] accepted them, as long as the link holds.
//! - A link that breaks loses the calls and messages in flight. [`Service::disconnected`] tells the
//!   receiver, and their errors tell the callers. A sender of one-way messages is not told: if a message
//!   has to arrive, the receiver must ask for it again.
//! - Every queue has a bound. A call that finds no room fails at once ([`LinkError::Full`]); a one-way
//!   message waits.

mod acceptor;
mod budget;
pub mod channel;
mod dialler;
mod error;
mod gate;
mod grpc;
mod handshake;
mod inbound;
mod links;
mod local_end;
pub mod memory;
mod metering;
mod none;
mod outbound;
mod peer;
mod peer_connection;
mod pump;
mod registry;
mod secret;
mod service;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod trust;
mod waiting;
mod wire;

pub use error::{LinkError, Refusal, Trouble};
pub use links::Links;
pub use none::NoLinks;
pub use peer::Peer;
pub use secret::{LinkSecret, SecretTooShort};
pub use service::Service;
pub use settings::{LinkSettings, WireVersions};
pub use state::{LinkState, LinkStatus};
pub use tls::{LINK_NAME, LinkTls, TlsError, TlsFiles};
pub use transport::TonicLinks;
pub use trust::LinkTrust;
