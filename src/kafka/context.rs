//! librdkafka's callbacks: its logs, and what a rebalance takes away. They run inside C frames, so
//! nothing in here may panic.

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

/// Logs only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The caller gets the same error and logs it with what it was doing.
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}

impl ConsumerContext for Logged {}

/// A group member's partitions.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    places: Mutex<TopicPartitions>,
}

#[derive(Debug, Default)]
struct TopicPartitions {
    assigned: BTreeSet<TopicPartition>,
    revoked: Vec<TopicPartition>,
}

impl Assigned {
    /// What has been taken away since the last call.
    pub(super) fn take_revoked(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.places.lock().revoked)
    }

    /// Whether something has been taken away since the last call of [`Self::take_revoked`].
    pub(super) fn has_revoked(&self) -> bool {
        !self.places.lock().revoked.is_empty()
    }

    /// Everything that is assigned now, and what has been taken away and not been told.
    pub(super) fn take_all(&self) -> Vec<TopicPartition> {
        let mut places = self.places.lock();
        let mut all = std::mem::take(&mut places.revoked);
        all.extend(std::mem::take(&mut places.assigned));
        all
    }

    /// Those of `list` that are assigned now.
    pub(super) fn still_assigned(&self, list: &TopicPartitionList) -> TopicPartitionList {
        let places = self.places.lock();
        let mut kept = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            let place = (element.topic().to_owned(), element.partition());
            if places.assigned.contains(&place) {
                // Taken from a list of the same kind, so it fits.
                let _ = kept.add_partition_offset(&place.0, place.1, element.offset());
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
            // librdkafka keeps a partition paused that is taken away and comes back, and nobody would
            // know of it: whoever paused it was told to forget it.
            tracing::error!(%error, "assigned partitions could not be resumed");
        }
        let mut places = self.places.lock();
        match rebalance {
            Rebalance::Assign(list) => {
                tracing::debug!(partitions = list.count(), "partitions assigned");
                places.assigned.extend(named(list));
            }
            Rebalance::Revoke(list) => {
                tracing::debug!(partitions = list.count(), "partitions revoked");
                for place in named(list) {
                    places.assigned.remove(&place);
                    places.revoked.push(place);
                }
            }
            Rebalance::Error(error) => {
                // librdkafka drops the whole assignment then.
                tracing::warn!(%error, "rebalance failed");
                let all = std::mem::take(&mut places.assigned);
                places.revoked.extend(all);
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

/// While a broker is away every client says so at every attempt: one line for each kind every few
/// seconds, of all clients together. Callers say what has failed, and when it works again.
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
