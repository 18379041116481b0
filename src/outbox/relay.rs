//! The Event Relay: takes what appends left in the outboxes to the bus. Several relays may run side by
//! side; lanes, held by leases that expire, keep each order with one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::keeper::Keeper;
use crate::ports::bus::Bus;
use crate::ports::outbox::{Outbox, OutboxStats};

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

/// The relay of one process. Cheap to share; [`Self::run`] is to be called once.
pub struct Relay {
    keepers: Vec<Arc<Keeper>>,
}

/// What operations sees of one outbox.
#[derive(Clone, Debug)]
pub struct OutboxReport {
    /// Whose.
    pub outbox: &'static str,
    /// The lanes that this relay holds.
    pub lanes: Vec<u16>,
    /// Messages that the bus has acknowledged, since the start.
    pub published: u64,
    /// Messages that the bus will never take, now dead letters, since the start.
    pub parked: u64,
    /// Failures since the start: messages that did not reach the bus, and calls to the outbox.
    pub failures: u64,
    /// The last failure.
    pub last_error: Option<String>,
    /// What waits; `None` if the outbox can't be asked now.
    pub waiting: Option<OutboxStats>,
}

/// What is counted of an outbox.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) lanes: Mutex<Vec<u16>>,
    pub(super) published: AtomicU64,
    pub(super) parked: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) last_error: Mutex<Option<String>>,
}

impl Counters {
    pub(super) fn failed(&self, error: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock() = Some(error);
    }
}

impl Relay {
    /// A relay named `holder` (unlike every other's, and new with each start of the process).
    pub fn new(
        outboxes: Vec<Arc<dyn Outbox>>,
        bus: Arc<dyn Bus>,
        settings: RelaySettings,
        holder: String,
    ) -> Self {
        let holder: Arc<str> = holder.into();
        let keeper = move |outbox| {
            let (bus, holder) = (Arc::clone(&bus), Arc::clone(&holder));
            Arc::new(Keeper::new(outbox, bus, settings.clone(), holder))
        };
        Self {
            keepers: outboxes.into_iter().map(keeper).collect(),
        }
    }

    /// Relays until `stop`; then lets what is on its way arrive, removes what was acknowledged and gives up
    /// the leases. Panics with any of its tasks.
    pub async fn run(&self, stop: CancellationToken) {
        let tasks = self.keepers.iter().map(|keeper| {
            let run = Arc::clone(keeper).run(stop.clone());
            AbortOnDropHandle::new(tokio::spawn(run))
        });
        for ended in join_all(tasks.collect::<Vec<_>>()).await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// How each outbox stands.
    pub async fn stats(&self) -> Vec<OutboxReport> {
        join_all(self.keepers.iter().map(|keeper| keeper.report())).await
    }
}

impl Keeper {
    async fn report(&self) -> OutboxReport {
        let waiting = timeout(self.settings.call_limit, self.outbox.stats()).await;
        let counters = &self.counters;
        OutboxReport {
            outbox: self.outbox.name(),
            lanes: counters.lanes.lock().clone(),
            published: counters.published.load(Ordering::Relaxed),
            parked: counters.parked.load(Ordering::Relaxed),
            failures: counters.failures.load(Ordering::Relaxed),
            last_error: counters.last_error.lock().clone(),
            waiting: waiting.ok().and_then(Result::ok),
        }
    }
}
