//! The REST interface: every endpoint and every way to get it wrong, over doubles that keep the
//! ports' contracts in memory; and the HTTP server over real sockets.

mod bad_input;
mod cluster;
mod cluster_double;
mod conditions;
mod document;
mod doubles;
mod inventory;
mod operations;
mod orders;
mod server;
mod support;
