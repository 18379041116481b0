//! The order service's consumer: takes messages of other services to the incarnation that answers for the
//! orders. It outlives incarnations of the replica, so that its group and its partitions stay as they are.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::vital::Vital;

use super::lifecycle::Lifecycle;
use crate::messaging;
use crate::ports::bus::Bus;
use crate::ports::clock::Clock;
use crate::ports::orders::Orders;

/// A running consumer.
pub(super) struct Consumer {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Consumes as member `name` of the group; ends `life` if it is lost.
    pub fn start(
        bus: Arc<dyn Bus>,
        orders: Arc<dyn Orders>,
        clock: Arc<dyn Clock>,
        name: &str,
        life: &Lifecycle,
    ) -> Self {
        let (vital, stop) = (Vital::default(), CancellationToken::new());
        life.depend_on(&vital);
        let guard = vital.guard("consumer", &stop);
        let runner = messaging::orders::runner(bus, orders, clock, name);
        let task = tokio::spawn(guard.over(runner.run(stop.clone())));
        Self { stop, task }
    }

    /// Takes no more messages; those in flight are finished until `end`.
    pub async fn stop(self, end: Instant) {
        self.stop.cancel();
        if tokio::time::timeout_at(end, self.task).await.is_err() {
            tracing::warn!("the consumer did not close in time: its last messages will come again");
        }
    }
}
