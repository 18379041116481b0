//! What the commit queues of the writer share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::actors::announcer::Announcer;
use crate::actors::cache_gate::CacheGate;
use crate::actors::ownership::Ownership;
use crate::ports::journal::Journal;
use crate::telemetry::repeated::RepeatedLog;

/// Loads in flight: half of the connections for reads. With [`LOAD_ORDERS_MAX`] this also bounds the memory
/// of orders that are being loaded.
///
/// [`LOAD_ORDERS_MAX`]: crate::ports::journal::LOAD_ORDERS_MAX
const LOADS_AT_ONCE: usize = 4;

/// What all commit queues share.
pub(in crate::actors) struct Shared {
    pub journal: Arc<dyn Journal>,
    pub ownership: Arc<Ownership>,
    pub gate: Arc<CacheGate>,
    pub announcer: Announcer,
    pub tasks: TaskTracker,
    /// Permits for loads in flight.
    pub loads: Semaphore,
    /// Logs appends that the journal doesn't take.
    pub refusals: RepeatedLog,
}

impl Shared {
    /// For commit queues whose tasks are tracked by `tasks`.
    pub fn new(
        journal: Arc<dyn Journal>,
        ownership: Arc<Ownership>,
        gate: Arc<CacheGate>,
        announcer: Announcer,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal,
            ownership,
            gate,
            announcer,
            tasks,
            loads: Semaphore::new(LOADS_AT_ONCE),
            refusals: RepeatedLog::new(),
        })
    }
}
