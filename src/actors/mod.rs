//! The order actors and those above them.
