//! Adapters with nothing to install: SQLite, moka, a single node.
pub mod cache;
