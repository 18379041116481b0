//! Metrics as Prometheus text, with histogram buckets for durations in seconds and for sizes.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::{describe, names};

/// From a tenth of a millisecond to ten seconds: commits, commands, pushes.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// A saga: milliseconds as a rule; minutes when inventory is asked again or the bus was away.
const SAGA_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Rows of a batch.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The exporter keeps raw samples until upkeep folds them into buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder, with every metric described. Once per process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full(names::JOURNAL_BATCH_SIZE.into()), ROWS)?
        .set_buckets_for_metric(Matcher::Full(names::SAGA_DURATION.into()), SAGA_SECONDS)?
        .install_recorder()?;
    describe::all();
    Ok(handle)
}

/// Folds the recorded samples regularly, until `stop` is cancelled.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut timer = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tokio::select! {
            _ = timer.tick() => handle.run_upkeep(),
            () = stop.cancelled() => return,
        }
    }
}
