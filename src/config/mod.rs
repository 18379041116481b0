//! The configuration: one struct per concern, checked before a port is opened.
