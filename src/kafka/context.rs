//! librdkafka's callbacks: its logs, and what a rebalance takes away. They run inside C frames, so
//! nothing in here may panic.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

/// A topic's name on the broker and a partition.
pub(super) type Place = (String, i32);

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
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    assigned: BTreeSet<Place>,
    revoked: Vec<Place>,
}

impl Assigned {
    /// What has been taken away since the last call.
    pub(super) fn take_revoked(&self) -> Vec<Place> {
        std::mem::take(&mut self.places.lock().revoked)
    }

    /// Everything that is assigned now.
    pub(super) fn assigned(&self) -> Vec<Place> {
        self.places.lock().assigned.iter().cloned().collect()
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
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
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

fn named(list: &TopicPartitionList) -> impl Iterator<Item = Place> {
    list.elements()
        .into_iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect::<Vec<_>>()
        .into_iter()
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
