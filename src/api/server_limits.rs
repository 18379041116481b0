//! The bounds of a listener: how many connections it has, and how long a client may take. [`super::server`]
//! and [`super::connection`] enforce them.

use std::time::Duration;

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, event streams among them; more wait in the backlog. A WebSocket counts until it is
    /// upgraded.
    pub connections_max: usize,
    /// How long a request's head may take, from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// How long a write to a client may be blocked before the client is cut.
    pub write_timeout: Duration,
}

impl Default for Limits {
    /// 20,000 connections are 10,000 event streams and as many callers, at about 10 KiB each. 30 s is longer
    /// than a phone is in a tunnel. 75 s is longer than load balancers keep an idle connection (60 s as a
    /// rule): so the load balancer closes it first, and never sends a request to a connection that this side
    /// is closing.
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
        }
    }
}
