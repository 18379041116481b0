//! The client against a small local server that follows a script.

mod calls;
mod live;
mod retries;
mod server;
#[cfg(feature = "tls")]
mod tls;
