//! A minimal HTTP/1.1 client, because the load generator shares the machine
//! with what it measures: prebuilt requests out, a status line and a length in.
//! One request in flight per connection, no pipelining, no chunked bodies.
//! `trackops_client`, which asks operations here, builds and reads each request and retries: its work would be
//! measured, too.

mod connection;
mod request;
mod response;

pub use connection::{CallError, Connection, Response};
pub use request::{get, with_json};
