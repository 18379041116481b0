//! Counts the orders that have waited for inventory for too long, for the gauge. The port `Sagas` lists them
//! for an operator.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use trackops_cluster::ShardId;

use super::context::Context;
use crate::ports::sagas::{Sagas, Stuck};
use crate::telemetry::names;

/// The time between two counts: what is stuck changes over minutes.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Stuck orders are counted up to this number: more is no worse, and takes longer to count.
const COUNT_MAX: u32 = 10_000;

/// The stuck orders, and when they were last counted.
pub(super) struct StuckSagas {
    /// `None` where nobody needs the count.
    sagas: Option<Arc<dyn Sagas>>,
    counted: Option<Instant>,
}

impl StuckSagas {
    pub(super) fn new(sagas: Option<Arc<dyn Sagas>>) -> Self {
        Self {
            sagas,
            counted: None,
        }
    }

    /// Counts the stuck orders of `shards`, if a count is due.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(super) async fn report(&mut self, context: &Context, shards: &[ShardId]) {
        let is_time = self.counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY);
        let Some(sagas) = self.sagas.as_ref().filter(|_| is_time) else {
            return;
        };
        self.counted = Some(Instant::now());
        if shards.is_empty() {
            metrics::gauge!(names::SAGA_STUCK).set(0.0);
            return;
        }
        let stuck = Stuck::at(context.clock.now(), context.settings.stuck_after);
        match sagas.count_stuck(shards, stuck, COUNT_MAX).await {
            Ok(count) => metrics::gauge!(names::SAGA_STUCK).set(count as f64),
            Err(error) => tracing::debug!(%error, "stuck orders can't be counted"),
        }
    }
}
