//! The port to the progress of consumer groups, for callers that aren't members.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::bus::BusError;

/// A group's progress in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The offset of the next message that it will read; `None` if it has never committed one.
    pub committed: Option<i64>,
    /// The offset that the next message published will have.
    pub end: i64,
}

/// A group's progress in each partition of each topic, by the partition's number.
pub type GroupProgress = BTreeMap<Arc<str>, Vec<Progress>>;

/// The groups of a bus. Names of topics and groups are without prefix (adapters add it).
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// The progress of `group` in `topics`. A missing topic has no partitions. A message that was
    /// published before the call is below the `end` of its partition.
    async fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<GroupProgress, BusError>;

    /// Commits offsets for a group that never has members. They are marks that others ask for by
    /// [`Groups::progress`]: per (topic, partition), the offset of the first message that is not done.
    async fn mark(&self, group: &str, next: &[(Arc<str>, i32, i64)]) -> Result<(), BusError>;

    /// The partition, out of `partitions` (at least one), of the messages with `key`.
    fn partition_of(&self, key: &str, partitions: usize) -> usize;
}
