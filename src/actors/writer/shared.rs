//! What the commit queues of the writer share.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::actors::announcer::Announcer;
use crate::actors::cache_gate::CacheGate;
use crate::actors::ownership::Ownership;
use crate::ports::journal::Journal;
use crate::telemetry::repeated::RepeatedLog;

/// Loads under way at once: half of the connections for reads, and with [`LOAD_ORDERS_MAX`] the bound on
/// what orders weigh that are on their way into memory.
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
    /// For loads under way.
    pub loads: Semaphore,
    /// Appends that the journal doesn't take.
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
