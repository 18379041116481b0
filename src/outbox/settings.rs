//! Timings and limits of the relay. Leaves keeping to them to [`super::keeper`] and [`super::pipeline`].

use std::time::Duration;

/// Timings and limits of the relay.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How long a lane's lease lasts without renewal; renewed at a third of it, and not relied on in
    /// its last fifth. After a relay is killed, its lanes stand still for this long.
    pub lease: Duration,
    /// Rows in hand of an outbox: fetched and not yet removed. What can't be published stays among them, so
    /// this is how far the relay reaches past rows that don't go.
    pub rows_max: usize,
    /// Bytes of their payloads, about.
    pub bytes_max: usize,
    /// Rows of one fetch: more than arrive between two, few enough that a fetch takes milliseconds.
    pub batch_rows: usize,
    /// Bytes of payload of one fetch, about.
    pub batch_bytes: usize,
    /// How long to wait without a signal before looking anyway.
    pub poll: Duration,
    /// The least time between the beginnings of two exchanges with the outbox, so that rows gather: each
    /// exchange, and each partition's request to the bus, has a price that doesn't depend on how many
    /// rows share it. After a pause of more than this a signal is followed at once. An order passes here
    /// twice on its way to CONFIRMED.
    pub pace: Duration,
    /// How often rows that were set aside are looked at again.
    pub take_back_every: Duration,
    /// First pause after a failure, doubled up to `backoff_cap`.
    pub backoff_base: Duration,
    /// The longest pause: a bus that is back is used again within this.
    pub backoff_cap: Duration,
    /// How long one call to the outbox may take; a lost connection is no reason to hang.
    pub call_limit: Duration,
    /// How long what is on its way may take at a stop, and then giving up the leases.
    pub stop_limit: Duration,
    /// Between two counts of what waits.
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
    /// The usual ones, with a stop that takes at most `limit`: half of it for what is on its way,
    /// half for the leases.
    pub fn stopping_within(limit: Duration) -> Self {
        Self {
            stop_limit: limit / 2,
            ..Self::default()
        }
    }
}
