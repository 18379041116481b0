//! The limits of a simulated network. Leaves keeping to them to [`super::net`].

use std::time::Duration;

/// The limits of a [`super::MemoryNetwork`]; the defaults are those of the real transport.
#[derive(Clone, Copy, Debug)]
pub struct MemorySettings {
    /// How long after a cut the link is found dead.
    pub silence_limit: Duration,
    /// Calls in flight from one node to another.
    pub calls_max: usize,
    /// One-way messages in flight from one node to another.
    pub messages_max: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            silence_limit: Duration::from_millis(2500),
            calls_max: 4096,
            messages_max: 1024,
        }
    }
}
