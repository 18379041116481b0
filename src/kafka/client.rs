//! The parts that every kind of Kafka client shares: the configuration, the prefix, and blocking calls.
//! Leaves the clients to their files.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use secrecy::ExposeSecret as _;

use super::settings::KafkaSettings;
use crate::ports::bus::{BusError, Subscription};

/// How long one question to the broker may take before the bus counts as away.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings, shared.
#[derive(Clone)]
pub(super) struct Client(Arc<KafkaSettings>);

impl Client {
    pub(super) fn new(settings: KafkaSettings) -> Self {
        Self(Arc::new(settings))
    }

    pub(super) fn settings(&self) -> &KafkaSettings {
        &self.0
    }

    /// The name on the broker of one of our topics or groups.
    pub(super) fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    /// For metadata, administration and reading.
    pub(super) fn base_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.0.brokers)
            .set("client.id", &self.0.client_id)
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            // Well under a session: a broker that is back is found within a second.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.0.properties {
            config.set(name, value.expose_secret());
        }
        config
    }

    /// The producer's settings: every message is acknowledged by all in-sync replicas, none is written
    /// twice, and none out of order.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = self.base_config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            // Long enough to fill a request under load, and short compared with the broker's own flush.
            .set("linger.ms", "2")
            // The publisher keeps the message and tries again, so it should hear of a failure soon.
            .set("message.timeout.ms", "10000")
            .set("request.timeout.ms", "5000")
            // A few of the relay's batches. When the queue is full, the publisher waits.
            .set("queue.buffering.max.messages", "20000")
            .set("queue.buffering.max.kbytes", "65536");
        config
    }

    /// A static member of a group that commits only what it is told to.
    pub(super) fn consumer_config(&self, subscription: &Subscription) -> ClientConfig {
        let mut config = self.base_config();
        config
            .set("group.id", self.prefixed(&subscription.group))
            .set("group.instance.id", &*subscription.member)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "2000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("topic.metadata.refresh.interval.ms", "5000")
            // The longest wait of a resumed or newly assigned partition, because the fetch in flight
            // doesn't include it. An idle consumer asks each broker twice a second.
            .set("fetch.wait.max.ms", "500")
            // Counted over all partitions: while this many messages are queued, partitions with queued
            // messages are left out of the next fetch. It is more than is queued between two polls: with
            // a minimum of 1, fetches of idle partitions alone took their whole wait, and the p99 of
            // confirming an order was that wait. It is no more than a partition may have in hand, because
            // the queued messages of a paused partition are fetched again.
            .set("queued.min.messages", "2000")
            // How long they are left out. The default of 1 s would leave the consumer loop without work.
            .set("fetch.queue.backoff.ms", "5")
            // The most bytes of one answer. The default of 50 MiB is more than a replica has room for.
            .set("fetch.max.bytes", "8388608")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// The settings for reading partitions without a group. The group is never joined, but librdkafka
    /// requires a name.
    pub(super) fn reader_config(&self) -> ClientConfig {
        let mut config = self.base_config();
        config
            .set("group.id", self.prefixed("trackops-reader"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "10");
        config
    }
}

/// Begins a blocking call of librdkafka, and waits a little longer than [`CALL_TIMEOUT`] at most. Most
/// calls have the same limit of their own; this one covers those without.
pub(super) fn blocking<T, E>(
    call: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> impl Future<Output = Result<T, BusError>> + Send + 'static
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let limit = CALL_TIMEOUT + Duration::from_secs(1);
    let called = tokio::time::timeout(limit, tokio::task::spawn_blocking(call));
    async move {
        match called.await {
            Ok(Ok(result)) => result.map_err(|error| BusError(Box::new(error))),
            Ok(Err(join)) => Err(BusError(Box::new(join))),
            Err(elapsed) => Err(BusError(Box::new(elapsed))),
        }
    }
}
