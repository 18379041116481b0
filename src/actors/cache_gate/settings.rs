//! The limits of the cache gate, each with the reason for its default.

use std::time::Duration;

/// Limits of the gate.
#[derive(Clone, Debug)]
pub struct CacheGateSettings {
    /// The longest that one write takes.
    pub write_limit: Duration,
    /// The longest that a read waits for the cache before it goes to the journal.
    pub read_limit: Duration,
    /// The longest that one attempt to raise generations takes.
    pub raise_limit: Duration,
    /// First pause before a probe or between attempts to raise; doubled up to `repair_cap`.
    pub repair_base: Duration,
    /// The longest pause: a cache that is back is used again within this time.
    pub repair_cap: Duration,
    /// Draws a number from 0 to 1. A pause is shortened by that share of a quarter, so that replicas which
    /// lost the cache together don't come back together.
    pub jitter: fn() -> f64,
}

impl Default for CacheGateSettings {
    fn default() -> Self {
        Self {
            // While a cache that hangs doesn't confirm a write, its orders are read elsewhere; after this
            // time the breaker opens.
            write_limit: Duration::from_millis(50),
            read_limit: Duration::from_millis(50),
            raise_limit: Duration::from_secs(2),
            repair_base: Duration::from_millis(100),
            repair_cap: Duration::from_secs(2),
            jitter: rand::random,
        }
    }
}
