//! The REST interface: every endpoint and every way to get it wrong, on a real node over the embedded stores;
//! and the HTTP server over real sockets.

mod access;
mod access_matrix;
mod bad_input;
mod bad_paths;
mod cluster;
mod cluster_double;
mod conditions;
mod document;
mod doubles;
mod every_route;
mod head_method;
mod heads;
mod http2;
mod http2_bounds;
mod http2_support;
mod inventory;
mod operations;
mod orders;
mod raw;
mod server;
mod sites;
mod support;
mod tokens;
mod tracking;
mod typed_client;
mod unread;
