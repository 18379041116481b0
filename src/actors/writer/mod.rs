//! The journal writer: group commit. Appends that arrive while a commit is under way ride in the
//! next one. An append after a pause commits at once; otherwise a lane begins a commit every 5 ms at most.
//!
//! A shard always uses the same lane, so a load that is queued behind an append sees it.

mod commit;
mod lane;
mod load;

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use trackops_cluster::ShardId;
use trackops_cluster::vital::Vital;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use super::announcer::Announcer;
use super::cache_gate::CacheGate;
use super::ownership::Ownership;
use super::tenure::Tenure;
use crate::ports::journal::{AppendRow, Journal, JournalError};
use crate::telemetry::repeated::RepeatedLog;

/// Jobs waiting in one lane at most. Admission bounds the commands of a replica below the sum of
/// the lanes; past it a sender waits.
const LANE_JOBS_MAX: usize = 16_384;

/// Loads under way at once: half of the connections for reads, and with [`LOAD_ORDERS_MAX`] what
/// orders weigh that are on their way into memory.
///
/// [`LOAD_ORDERS_MAX`]: crate::ports::journal::LOAD_ORDERS_MAX
pub(super) const LOADS_AT_ONCE: usize = 4;

/// Why an append was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// It certainly did not happen.
    #[error("the journal is away")]
    Unavailable,
    /// It may have happened. The order has to be loaded again, once its shard is settled.
    #[error("the outcome of the append is unknown")]
    Unknown,
    /// Another replica owns the shard.
    #[error("another replica owns the shard")]
    NotOwner,
    /// The stored order has another version than the one in memory, or exists already.
    #[error("the stored order is not the one in memory")]
    Conflict,
    /// The journal refuses the data, however often it is sent.
    #[error("the journal refuses the data")]
    Refused,
}

/// An append and what is to follow it.
pub(super) struct AppendJob {
    /// The row; its epoch is filled in by the lane.
    pub row: AppendRow,
    /// In which tenure it was decided.
    pub tenure: Tenure,
    /// The order as it will be, and its view: for the cache.
    pub order: Arc<Order>,
    pub view: Bytes,
    /// Who waits.
    pub reply: oneshot::Sender<Result<Instant, WriteError>>,
}

/// A load and who waits for it.
pub(super) struct LoadJob {
    pub order: OrderId,
    pub reply: oneshot::Sender<Result<Option<Order>, JournalError>>,
}

pub(super) enum Job {
    Append(Box<AppendJob>),
    Load(LoadJob),
}

/// What all lanes share.
pub(super) struct Shared {
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

/// The writer's handle.
pub struct Writer {
    lanes: Box<[mpsc::Sender<Job>]>,
}

impl Writer {
    /// Starts `lanes` lanes, tracked by `tasks`, which end when `stop` is cancelled and their queues are empty.
    pub(super) fn start(
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
