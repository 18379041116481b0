//! Whether the file takes writes, by the outcome of the last transaction; a change is logged.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use trackops_cluster::outage::causes;

use super::error::WriteError;
use crate::telemetry::repeated::RepeatedLog;

/// Why the last transaction failed; empty if it didn't.
#[derive(Clone, Debug, Default)]
pub(super) struct FileHealth {
    trouble: Arc<Mutex<Option<WriteError>>>,
    troubles: Arc<RepeatedLog>,
}

impl FileHealth {
    /// Whether the last transaction failed through the file's fault.
    pub(super) fn has_failed(&self) -> bool {
        self.trouble.lock().is_some()
    }

    /// Notes that a transaction was committed.
    pub(super) fn is_well(&self) {
        *self.trouble.lock() = None;
        if let Some(recovery) = self.troubles.recovered(Instant::now()) {
            let (after, failures) = (recovery.lasted, recovery.count);
            tracing::info!(?after, failures, "the file takes writes again");
        }
    }

    /// Notes that a transaction failed through the file's fault.
    pub(super) fn failed(&self, error: &WriteError) {
        *self.trouble.lock() = Some(error.clone());
        if let Some(repeats) = self.troubles.failed(Instant::now()) {
            let failures = repeats.count;
            tracing::error!(
                cause = causes(error),
                failures,
                "the file doesn't take writes"
            );
        }
    }
}
