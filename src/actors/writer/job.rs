//! The writer's jobs, and why an append may fail.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;

use crate::actors::tenure::Tenure;
use crate::ports::journal::{AppendRow, JournalError};

/// Why an append was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The append certainly did not happen.
    #[error("the journal is away")]
    Unavailable,
    /// The append may have happened. The order has to be loaded again once its shard is settled.
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

/// An append with what is needed after it.
pub(super) struct AppendJob {
    /// The row; its epoch is filled in by the commit queue.
    pub row: AppendRow,
    /// The tenure in which the row was decided.
    pub tenure: Tenure,
    /// The order after the append, and its view: for the cache.
    pub order: Arc<Order>,
    pub view: Bytes,
    /// The caller that waits.
    pub reply: oneshot::Sender<Result<Instant, WriteError>>,
}

/// A load and the caller that waits for it.
pub(super) struct LoadJob {
    pub order: OrderId,
    pub reply: oneshot::Sender<Result<Option<Order>, JournalError>>,
}

/// A job in a commit queue.
pub(super) enum Job {
    Append(Box<AppendJob>),
    Load(LoadJob),
}
