//! The handle by which actors append and load. It puts each job into the commit queue of its shard, and
//! waits.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::ShardId;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::commit_queue;
use super::job::{AppendJob, Job, LoadJob, WriteError};
use super::shared::Shared;
use crate::actors::tenure::Tenure;
use crate::ports::journal::{AppendRow, JournalError};

/// Jobs waiting in one commit queue at most. Admission bounds a replica's commands below the sum of its
/// commit queues; beyond this number a sender waits.
const COMMIT_QUEUE_JOBS_MAX: usize = 16_384;

/// The writer's handle.
pub struct Writer {
    commit_queues: Box<[mpsc::Sender<Job>]>,
}

impl Writer {
    /// Starts `commit_queues` commit queues. They end when `stop` is cancelled and nothing waits in them.
    pub(in crate::actors) fn start(
        shared: &Arc<Shared>,
        commit_queues: usize,
        vital: &Vital,
        stop: &CancellationToken,
    ) -> Self {
        let commit_queues = (0..commit_queues.max(1)).map(|_| {
            let (jobs, queue) = mpsc::channel(COMMIT_QUEUE_JOBS_MAX);
            let commit_queue = commit_queue::run(Arc::clone(shared), queue, stop.clone());
            let guard = vital.guard("writer commit queue", stop);
            shared.tasks.spawn(guard.over(commit_queue));
            jobs
        });
        Self {
            commit_queues: commit_queues.collect(),
        }
    }

    /// Appends `row`, which was decided in `tenure` and leads to `order`, whose rendered view is `view`.
    /// Returns once the row is durable and nothing older of the order is read. The result is the time at
    /// which it was durable.
    pub async fn append(
        &self,
        row: AppendRow,
        order: Arc<Order>,
        view: Bytes,
        tenure: Tenure,
    ) -> Result<Instant, WriteError> {
        let (reply, answer) = oneshot::channel();
        let commit_queue = self.commit_queue(row.shard);
        let job = Job::Append(Box::new(AppendJob {
            row,
            tenure,
            order,
            view,
            reply,
        }));
        commit_queue
            .send(job)
            .await
            .map_err(|_| WriteError::Unavailable)?;
        // A commit queue that ends drops only jobs that it has not sent to the journal.
        answer.await.unwrap_or(Err(WriteError::Unknown))
    }

    /// Loads `order`, behind every append of its shard that is queued.
    pub async fn load(
        &self,
        shard: ShardId,
        order: OrderId,
    ) -> Result<Option<Order>, JournalError> {
        let (reply, answer) = oneshot::channel();
        let gone = || JournalError::Unavailable("the writer has stopped".into());
        self.commit_queue(shard)
            .send(Job::Load(LoadJob { order, reply }))
            .await
            .map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    fn commit_queue(&self, shard: ShardId) -> &mpsc::Sender<Job> {
        &self.commit_queues[usize::from(shard.0) % self.commit_queues.len()]
    }
}
