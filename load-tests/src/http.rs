//! A minimal HTTP/1.1 client, because the load generator shares the machine
//! with what it measures: prebuilt requests out, a status line and a length in.
//! One request in flight per connection, no pipelining, no chunked bodies.

mod connection;
mod request;
mod response;

pub use connection::{CallError, Connection, Response};
pub use request::{get, with_json};
