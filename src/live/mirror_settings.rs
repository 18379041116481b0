//! Timings of the mirrors. Leaves keeping to them to [`super::mirror`].

use std::time::Duration;

/// Timings of the mirrors.
#[derive(Clone, Copy, Debug)]
pub struct MirrorSettings {
    /// How often a mirror checks whether anyone still listens.
    pub idle_check: Duration,
    /// How often an owner that can't push is polled.
    pub poll: Duration,
    /// The pause after an owner couldn't be asked; doubled up to `retry_most`.
    pub retry: Duration,
    /// See `retry`.
    pub retry_most: Duration,
    /// Requests to owners in flight: a replica that ends leaves thousands of orders to ask for.
    pub asked_at_once: usize,
    /// How long a new listener waits for the owner's answer.
    pub wait: Duration,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        Self {
            idle_check: Duration::from_secs(5),
            poll: Duration::from_millis(500),
            retry: Duration::from_millis(50),
            retry_most: Duration::from_secs(1),
            asked_at_once: 256,
            wait: Duration::from_secs(10),
        }
    }
}
