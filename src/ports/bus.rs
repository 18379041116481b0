//! The port to the message bus: topics with partitions, and consumer groups with committed offsets.
//! Leaves the content of messages to codecs and handlers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::journal::BoxError;

/// The most bytes of key, headers and value together that every adapter takes: just under the default
/// limit of Kafka's brokers. Every adapter refuses a message of more than twice this.
pub const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct OutMessage {
    /// Topic name without the configured prefix (adapters add it).
    pub topic: Arc<str>,
    /// Partitioning key: the order id in hyphenated lower case. Empty for none.
    pub key: Arc<str>,
    /// Headers, `ce_…` and others; UTF-8 values.
    pub headers: Vec<(&'static str, String)>,
    /// The value.
    pub payload: Bytes,
}

/// A message to pass on unchanged. Keys, headers and values of other senders need not be text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage {
    /// Topic name without the configured prefix.
    pub topic: Arc<str>,
    /// Key, if any.
    pub key: Option<Bytes>,
    /// Headers.
    pub headers: Vec<(String, Bytes)>,
    /// The value; `None` for a tombstone.
    pub payload: Option<Bytes>,
}

/// A header's name. The names in our own messages need no allocation.
pub type HeaderName = Cow<'static, str>;

/// Makes a header name of `name`.
pub fn header_name(name: &str) -> HeaderName {
    const KNOWN: [&str; 10] = [
        "ce_id",
        "ce_source",
        "ce_specversion",
        "ce_type",
        "ce_subject",
        "ce_time",
        "ce_dataschema",
        "ce_orderversion",
        "content-type",
        "traceparent",
    ];
    let known = KNOWN.into_iter().find(|known| *known == name);
    known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed)
}

/// A message as received.
#[derive(Clone, Debug)]
pub struct InMessage {
    /// Topic name without prefix.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key, if any.
    pub key: Option<Bytes>,
    /// Headers. A header that occurs twice keeps its last value; values are arbitrary bytes.
    pub headers: BTreeMap<HeaderName, Bytes>,
    /// The value; `None` for a tombstone.
    pub payload: Option<Bytes>,
    /// The bus' timestamp, ms since the epoch.
    pub timestamp_ms: i64,
}

impl InMessage {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// Why publishing one message failed.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Try again later; it may or may not have been written.
    #[error("the bus is away")]
    Unavailable(#[source] BoxError),
    /// The bus will never take it: it is too large, or its topic is missing and can't be created.
    #[error("the bus refuses the message")]
    Refused(#[source] BoxError),
}

/// The index of a message among those published together, with its outcome.
pub type Told = (usize, Result<(), PublishError>);

/// A call to the bus failed.
#[derive(Debug, Error)]
#[error("the bus is away")]
pub struct BusError(#[source] pub BoxError);

/// The group and topics of a consumer.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Consumer group, without prefix (adapters add it).
    pub group: Arc<str>,
    /// Topics, without prefix.
    pub topics: Vec<Arc<str>>,
    /// Static member name (`group.instance.id`).
    pub member: Arc<str>,
}

/// The result of a poll.
#[derive(Debug)]
pub enum Polled {
    /// Messages, in order within each partition; may be empty on time-out.
    Messages(Vec<InMessage>),
    /// This consumer no longer has these partitions (topic, partition). It must forget their messages in
    /// hand, and must not commit their offsets any more.
    Revoked(Vec<(Arc<str>, i32)>),
}

/// A call to the bus that doesn't borrow the consumer, which may be polled meanwhile.
pub type Beside<T> = BoxFuture<'static, Result<T, BusError>>;

/// One member of a consumer group. Not shared: one task owns it.
#[async_trait]
pub trait Consumer: Send {
    /// Waits up to `timeout` for at least one message, then returns the messages that are there, at most
    /// `max`. Dropping the call half-way loses nothing.
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError>;

    /// Commits, per (topic, partition), the offset of the NEXT message to read. Leaves out partitions
    /// that this consumer no longer has. Durable when the future is ready.
    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()>;

    /// Stops fetching from these partitions, without losing membership (polls go on). The pause ends with
    /// the assignment: a partition that is revoked and comes back is read again.
    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError>;

    /// Fetches from these partitions again.
    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError>;

    /// Messages not yet read, by topic.
    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>>;

    /// Leaves in good order; blocks at most a few seconds (on a blocking thread where it must).
    async fn close(self: Box<Self>);
}

/// A connection to the bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes `messages`. Returns when the bus has durably acknowledged (acks=all) or refused each of
    /// them. Messages of one partition keep their order. The results are in the order given.
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>>;

    /// Publishes as [`Self::publish`] does, and calls `told` with the indices and results of messages as
    /// soon as they are known, so that a message doesn't wait for those of another partition. When this
    /// returns, all results have been told. `told` must not block.
    async fn publish_each(
        &self,
        messages: Vec<OutMessage>,
        told: &(dyn Fn(Vec<Told>) + Send + Sync),
    ) {
        let results = self.publish(messages).await;
        told(results.into_iter().enumerate().collect());
    }

    /// Publishes one message unchanged, acknowledged like any other. For parking dead letters and sending
    /// them again.
    async fn forward(&self, message: RawMessage) -> Result<(), PublishError>;

    /// Joins a consumer group; a new group starts at the beginning of its topics.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError>;

    /// Returns the ones of `topics` that are missing.
    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError>;

    /// Creates the missing ones of `topics`.
    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError>;

    /// Reads messages of a topic outside any group, to look at dead letters: the messages that are there
    /// now, by partition and then offset, at most `limit`, starting at `from` (partition, offset) or the
    /// beginning.
    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError>;
}
