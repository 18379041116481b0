//! Courier positions on their way to the cache. An order's actor never waits for them, and decides itself
//! which position is the newest.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_domain::ids::OrderId;

use super::cache_gate::CacheGate;
use crate::model::position::Position;
use crate::ports::cache::Cache;

/// Positions waiting at most. They are live data and the next one is seconds away, so a full queue drops.
const WAITING_MAX: usize = 1_024;

enum Job {
    Put(OrderId, Position),
    Drop(OrderId),
}

/// The handle.
#[derive(Clone)]
pub struct Positions {
    jobs: mpsc::Sender<Job>,
    gate: Arc<CacheGate>,
}

impl Positions {
    /// Starts the task.
    pub fn start(
        store: Arc<dyn Cache>,
        gate: Arc<CacheGate>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (jobs, mut queue) = mpsc::channel(WAITING_MAX);
        tasks.spawn(async move {
            while let Some(job) = tokio::select! {
                biased;
                job = queue.recv() => job,
                () = stop.cancelled() => None,
            } {
                let done = match job {
                    Job::Put(order, position) => store.put_position(order, position).await,
                    Job::Drop(order) => store.drop_position(order).await,
                };
                if let Err(error) = done {
                    tracing::debug!(%error, "courier position not kept");
                }
            }
        });
        Self { jobs, gate }
    }

    /// Stores `position` in the cache, without waiting.
    pub fn put(&self, order: OrderId, position: Position) {
        drop(self.jobs.try_send(Job::Put(order, position)));
    }

    /// Forgets the courier of a finished order.
    pub fn forget(&self, order: OrderId) {
        drop(self.jobs.try_send(Job::Drop(order)));
    }

    /// The last known position, if the cache can be asked. The reader waits for it, so the circuit breaker
    /// counts here, too.
    pub async fn get(&self, order: OrderId) -> Option<Position> {
        self.gate.position(order).await
    }
}
