//! The bounds of a listener: how many connections it has, and how long a client may take. [`super::server`],
//! [`super::connection`] and [`super::connection_h2`] enforce them.

use std::time::Duration;

/// The largest request head, and the most of a body of HTTP/1.1 that is read at once: twice what common
/// gateways let through.
pub const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// How long a connection that was accepted before the stop has for its first request. It may come from a
/// proxy that doesn't know of the stop yet, and every accepted client gets an answer. A request follows its
/// connection within a round trip or not at all.
pub const FIRST_REQUEST_MAX: Duration = Duration::from_millis(250);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, event streams among them; more wait in the backlog. A WebSocket counts until it is
    /// upgraded.
    pub connections_max: usize,
    /// Open connections of one address, upgraded ones among them; 0 for any number.
    pub connections_per_address_max: usize,
    /// Whether those of loopback have that bound too.
    pub counts_loopback: bool,
    /// How long a request's head may take, from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// How long a write to a client may be blocked before the client is cut.
    pub write_timeout: Duration,
    /// HTTP/2: after so long without a frame the client is pinged.
    pub ping_interval: Duration,
    /// HTTP/2: how long the answer to a ping may take.
    pub ping_timeout: Duration,
}

impl Default for Limits {
    /// 20,000 connections are 10,000 event streams and as many callers, at about 10 KiB each. 30 s is longer
    /// than a phone is in a tunnel. 75 s is longer than load balancers keep an idle connection (60 s as a
    /// rule): so the load balancer closes it first, and never sends a request to a connection that this side
    /// is closing. A ping and its answer take as long as a head may, because a head in pieces
    /// holds up the answer.
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 1000,
            counts_loopback: false,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}
