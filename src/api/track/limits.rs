//! The bounds of live connections. [`super::state`], [`super::socket`] and [`super::events`] enforce them.

use std::time::Duration;

use crate::live::backlog::QueueLimits;

/// Bounds of live connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sockets and streams of this replica. An idle one takes about 10 KiB: half a GiB for all. A stream also
    /// counts as an HTTP connection (`http_connections_max`), of which there may be fewer.
    pub connections_max: usize,
    /// Orders that all sockets and streams follow together, of some 400 bytes each: 200 MiB for all.
    pub subscriptions_total_max: usize,
    /// Time between pings. Proxies cut idle connections after 60 s or more.
    pub ping_interval: Duration,
    /// How long a stream may be silent before a comment is sent.
    pub keep_alive: Duration,
    /// How long one round of writing may take before the peer is given up: a phone in a tunnel may
    /// come back, a peer that is gone should not keep its memory.
    pub write_timeout: Duration,
    /// How long a subscription may take. It is longer than the router's own limits, so those answer first.
    pub subscribe_timeout: Duration,
    /// How long a subscription to an overloaded order is retried.
    pub crowd_patience: Duration,
    /// How long to wait for the answer to a close, well within the shortest limit of a shutdown (2 s).
    pub close_timeout: Duration,
    /// How much may wait for a slow reader, and how many orders it may follow.
    pub queue: QueueLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            subscriptions_total_max: 500_000,
            ping_interval: Duration::from_secs(25),
            keep_alive: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            subscribe_timeout: Duration::from_secs(15),
            crowd_patience: Duration::from_secs(5),
            close_timeout: Duration::from_millis(500),
            queue: QueueLimits::default(),
        }
    }
}
