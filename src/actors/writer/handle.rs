//! The handle by which actors append and load: puts each job into the lane of its shard, and waits.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::ShardId;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::job::{AppendJob, Job, LoadJob, WriteError};
use super::lane;
use super::shared::Shared;
use crate::actors::tenure::Tenure;
use crate::ports::journal::{AppendRow, JournalError};

/// Jobs waiting in one lane at most. Admission bounds the commands of a replica below the sum of
/// the lanes; past it a sender waits.
const LANE_JOBS_MAX: usize = 16_384;

/// The writer's handle.
pub struct Writer {
    lanes: Box<[mpsc::Sender<Job>]>,
}

impl Writer {
    /// Starts `lanes` lanes, tracked by `tasks`, which end when `stop` is cancelled and their queues are empty.
    pub(in crate::actors) fn start(
        shared: &Arc<Shared>,
        lanes: usize,
        vital: &Vital,
        stop: &CancellationToken,
    ) -> Self {
        let lanes = (0..lanes.max(1)).map(|_| {
            let (jobs, queue) = mpsc::channel(LANE_JOBS_MAX);
            let lane = lane::run(Arc::clone(shared), queue, stop.clone());
            let guard = vital.guard("writer lane", stop);
            shared.tasks.spawn(guard.over(lane));
            jobs
        });
        Self {
            lanes: lanes.collect(),
        }
    }

    /// Appends `row`, which was decided in `tenure` and leads to `order`, of which `view` is the view;
    /// returns when it is durable and nothing older is read of it, and says since when it is durable.
    pub async fn append(
        &self,
        row: AppendRow,
        order: Arc<Order>,
        view: Bytes,
        tenure: Tenure,
    ) -> Result<Instant, WriteError> {
        let (reply, answer) = oneshot::channel();
        let lane = self.lane(row.shard);
        let job = Job::Append(Box::new(AppendJob {
            row,
            tenure,
            order,
            view,
            reply,
        }));
        lane.send(job).await.map_err(|_| WriteError::Unavailable)?;
        // A lane that ends drops its jobs only after it has sent none of them.
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
        self.lane(shard)
            .send(Job::Load(LoadJob { order, reply }))
            .await
            .map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    fn lane(&self, shard: ShardId) -> &mpsc::Sender<Job> {
        &self.lanes[usize::from(shard.0) % self.lanes.len()]
    }
}
