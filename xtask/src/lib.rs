//! The real servers that tests and the developer's commands run against. It is a library so that the
//! integration tests can start, pause, kill and restart servers of their own.
//!
//! Standard library only (with `anyhow`), because every `cargo xtask` waits for this
//! crate to compile. The commands themselves are in the binary.

pub mod servers;
