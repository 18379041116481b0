//! librdkafka's callbacks: its log lines, and the partitions that a rebalance assigns or revokes. They
//! run inside C frames, so nothing in here may panic. Leaves reporting revocations to
//! [`super::consumer`].

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use crate::telemetry::repeated::{RepeatedLog, Repeats};

/// A topic's name on the broker and a partition.
pub(super) type TopicPartition = (String, i32);

/// A context that only logs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The caller gets the same error, and logs it with the call that failed.
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}

impl ConsumerContext for Logged {}

/// The partitions assigned to a group member.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    partitions: Mutex<TopicPartitions>,
}

#[derive(Debug, Default)]
struct TopicPartitions {
    assigned: BTreeSet<TopicPartition>,
    revoked: Vec<TopicPartition>,
}

impl Assigned {
    /// Takes the partitions that were revoked since the last call.
    pub(super) fn take_revoked(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.partitions.lock().revoked)
    }

    /// Whether partitions were revoked since the last call of [`Self::take_revoked`].
    pub(super) fn has_revoked(&self) -> bool {
        !self.partitions.lock().revoked.is_empty()
    }

    /// Takes all partitions that are assigned now, with the revoked ones that were not taken yet.
    pub(super) fn take_all(&self) -> Vec<TopicPartition> {
        let mut partitions = self.partitions.lock();
        let mut all = std::mem::take(&mut partitions.revoked);
        all.extend(std::mem::take(&mut partitions.assigned));
        all
    }

    /// The partitions of `list` that are assigned now.
    pub(super) fn still_assigned(&self, list: &TopicPartitionList) -> TopicPartitionList {
        let partitions = self.partitions.lock();
        let mut kept = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            let partition = (element.topic().to_owned(), element.partition());
            if partitions.assigned.contains(&partition) {
                // Can't fail: the offset comes from a list of the same kind.
                let _ = kept.add_partition_offset(&partition.0, partition.1, element.offset());
            }
        }
        kept
    }
}

impl ClientContext for Assigned {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}

impl ConsumerContext for Assigned {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance
            && let Err(error) = consumer.resume(list)
        {
            // librdkafka keeps a partition paused when it is revoked and comes back. Nobody would resume
            // it, because the consumer loop was told to forget it.
            tracing::error!(%error, "assigned partitions could not be resumed");
        }
        let mut partitions = self.partitions.lock();
        match rebalance {
            Rebalance::Assign(list) => {
                tracing::debug!(partitions = list.count(), "partitions assigned");
                partitions.assigned.extend(named(list));
            }
            Rebalance::Revoke(list) => {
                tracing::debug!(partitions = list.count(), "partitions revoked");
                for partition in named(list) {
                    partitions.assigned.remove(&partition);
                    partitions.revoked.push(partition);
                }
            }
            Rebalance::Error(error) => {
                // librdkafka drops the whole assignment then.
                tracing::warn!(%error, "rebalance failed");
                let all = std::mem::take(&mut partitions.assigned);
                partitions.revoked.extend(all);
            }
        }
    }
}

fn named(list: &TopicPartitionList) -> impl Iterator<Item = TopicPartition> {
    list.elements()
        .into_iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect::<Vec<_>>()
        .into_iter()
}

/// While a broker is away every client reports it at every attempt. This writes one line for each kind
/// every few seconds, for all clients together. Callers log which call failed, and when it works again.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    /// By facility, of which librdkafka has a few dozen.
    static TROUBLE: Mutex<BTreeMap<String, RepeatedLog>> = Mutex::new(BTreeMap::new());
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            let mut trouble = TROUBLE.lock();
            let log = trouble.entry(facility.to_owned()).or_default();
            let due = log.failed(Instant::now());
            drop(trouble);
            if let Some(Repeats { count, .. }) = due {
                tracing::warn!(target: "librdkafka", facility, count, "{message}");
            } else {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
