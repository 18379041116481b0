//! The shared parts of relaying one outbox: the outbox, the bus, the settings and the counters. Leaves
//! its leases to [`super::outbox_relay`], and its rows to [`super::pipeline`] and [`super::sending`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::settings::RelaySettings;
use crate::ports::bus::Bus;
use crate::ports::outbox::{Outbox, OutboxStats};

/// See the module.
pub(super) struct RelayedOutbox {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) settings: RelaySettings,
    pub(super) holder: Arc<str>,
    pub(super) counters: Counters,
}

/// The counters of one outbox.
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

/// A report on one outbox, for operations.
#[derive(Clone, Debug)]
pub struct OutboxReport {
    /// The outbox's name.
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
    /// The waiting rows; `None` if the outbox can't be asked now.
    pub waiting: Option<OutboxStats>,
}

impl RelayedOutbox {
    /// The report on this outbox.
    pub(super) async fn report(&self) -> OutboxReport {
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
