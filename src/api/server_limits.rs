//! The bounds of a listener: how many connections it has, and how long a client may take. Leaves enforcing
//! them to [`super::server`] and [`super::connection`].

use std::time::Duration;

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; more wait in the backlog.
    pub connections_max: usize,
    /// How long a request's head may take, from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what is written to it, before it is cut.
    pub write_timeout: Duration,
}

impl Default for Limits {
    /// 16,384 connections are 10,000 watchers and room for writers, at about 10 KiB each; 30 s is
    /// longer than a phone is in a tunnel; 75 s is longer than load balancers keep an idle connection
    /// (60 s as a rule), so that they close it, and none sends a request to one that is just closed.
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
        }
    }
}
