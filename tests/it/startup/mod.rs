//! The binary as a person or an operator starts it, asks it and stops it.

mod cli;
mod demo_command;
mod dev_command;
mod kafka_acls;
mod keys;
mod metrics;
mod shutdown;
mod start;
#[cfg(feature = "tls")]
mod tls;
