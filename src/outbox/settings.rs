//! Timings and limits of the relay. Leaves keeping to them to [`super::outbox_relay`] and
//! [`super::pipeline`].

use std::time::Duration;

/// Timings and limits of the relay.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How long a lane's lease lasts without renewal. It is renewed after a third of it, and not relied
    /// on in its last fifth. After a relay is killed, its lanes stand still for this long.
    pub lease: Duration,
    /// The most rows of an outbox that are fetched and not yet removed. Rows that can't be published stay
    /// among them, so this is how far the relay reads past stuck rows.
    pub rows_max: usize,
    /// About the most bytes of their payloads.
    pub bytes_max: usize,
    /// The most rows of one fetch: more than arrive between two fetches, and few enough that a fetch
    /// takes milliseconds.
    pub batch_rows: usize,
    /// About the most bytes of payload of one fetch.
    pub batch_bytes: usize,
    /// How long to wait without a signal before looking anyway.
    pub poll: Duration,
    /// The least time between the starts of two exchanges with the outbox, so that rows gather: the fixed
    /// cost of an exchange, and of each partition's request to the bus, is then shared by more rows.
    /// After a longer pause an exchange follows a signal at once. An order waits for this twice on its
    /// way to CONFIRMED.
    pub pace: Duration,
    /// How often to try to take back rows that were set aside.
    pub take_back_every: Duration,
    /// First pause after a failure, doubled up to `backoff_cap`.
    pub backoff_base: Duration,
    /// The longest pause. A bus that is back is used again within this time.
    pub backoff_cap: Duration,
    /// How long one call to the outbox may take, so that a lost connection doesn't hang the relay.
    pub call_limit: Duration,
    /// How long the rows in flight may take at a stop, and after that how long giving up the leases may
    /// take.
    pub stop_limit: Duration,
    /// The time between two counts of the waiting rows.
    pub stats_every: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            rows_max: 10_000,
            bytes_max: 32 << 20,
            batch_rows: 2000,
            batch_bytes: 8 << 20,
            poll: Duration::from_secs(2),
            pace: Duration::from_millis(25),
            take_back_every: Duration::from_mins(1),
            backoff_base: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            call_limit: Duration::from_secs(10),
            stop_limit: Duration::from_secs(5),
            stats_every: Duration::from_secs(10),
        }
    }
}

impl RelaySettings {
    /// The default settings, with a stop that takes at most `limit`: half of it for the rows in flight,
    /// half for the leases.
    pub fn stopping_within(limit: Duration) -> Self {
        Self {
            stop_limit: limit / 2,
            ..Self::default()
        }
    }
}
