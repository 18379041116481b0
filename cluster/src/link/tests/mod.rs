//! Tests of both transports. Those of the real one use real sockets and real time.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

mod calls;
mod certificates;
mod faults;
mod frames;
mod memory;
mod proxy;
mod speed;
mod strangers;
mod support;
mod tls;
mod tls_changes;
