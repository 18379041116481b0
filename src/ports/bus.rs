//! The message bus: topics with partitions, consumer groups with committed offsets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::journal::BoxError;

/// Key, headers and value together that every adapter takes: just under what Kafka's brokers take
/// unless told otherwise. What is larger than twice this is refused by all of them.
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

/// A message to pass on as it is: keys, headers and values of others need not be text.
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

/// A header's name: those that our own messages have cost no memory of their own.
pub type HeaderName = Cow<'static, str>;

/// The name as a message's own.
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
    /// Headers; a header that stands twice keeps its last value; values are arbitrary bytes.
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
    /// It will never be taken (too large, topic missing and not creatable).
    #[error("the bus refuses the message")]
    Refused(#[source] BoxError),
}

/// The place of a message among those published together, and what became of it.
pub type Told = (usize, Result<(), PublishError>);

/// The bus failed.
#[derive(Debug, Error)]
#[error("the bus is away")]
pub struct BusError(#[source] pub BoxError);

/// What a consumer wants.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Consumer group, without prefix (adapters add it).
    pub group: Arc<str>,
    /// Topics, without prefix.
    pub topics: Vec<Arc<str>>,
    /// Static member name (`group.instance.id`).
    pub member: Arc<str>,
}

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// Messages, in order within each partition; may be empty on time-out.
    Messages(Vec<InMessage>),
    /// These partitions (topic, partition) are no longer this consumer's: forget what is in hand of
    /// them; their offsets must not be committed any more.
    Revoked(Vec<(Arc<str>, i32)>),
}

/// A call to the bus that has no more need of the consumer, which may be polled meanwhile.
pub type Beside<T> = BoxFuture<'static, Result<T, BusError>>;

/// One member of a consumer group. Not shared: one task owns it.
#[async_trait]
pub trait Consumer: Send {
    /// Waits up to `timeout` for at least one message, then takes what is there, at most `max`. A call
    /// that is dropped half way loses nothing.
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError>;

    /// Commits, per (topic, partition), the offset of the NEXT message to read; what is no longer this
    /// consumer's is left out. Durable when the future is ready.
    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()>;

    /// Stops fetching from these partitions, without losing membership (polls go on). Ends with the
    /// assignment: one that is taken away and comes back is read.
    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError>;

    /// Goes on fetching.
    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError>;

    /// Messages not yet read, by topic.
    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>>;

    /// Leaves in good order; blocks at most a few seconds (on a blocking thread where it must).
    async fn close(self: Box<Self>);
}

/// A connection to the bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Publishes `messages`; each result is there when the bus has acknowledged it durably (acks=all)
    /// or refused it. Messages of one partition keep their order. The results are in the order given.
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>>;

    /// Publishes as [`Self::publish`] does, and calls `told` with the places and results of some messages
    /// whenever they are known, so that a message doesn't wait for those of another partition. When this
    /// returns, all are told. `told` may not block.
    async fn publish_each(
        &self,
        messages: Vec<OutMessage>,
        told: &(dyn Fn(Vec<Told>) + Send + Sync),
    ) {
        let results = self.publish(messages).await;
        told(results.into_iter().enumerate().collect());
    }

    /// Publishes one message as it is, acknowledged like any other: for dead letters, there and back.
    async fn forward(&self, message: RawMessage) -> Result<(), PublishError>;

    /// Joins a consumer group; a new group starts at the beginning of its topics.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError>;

    /// Which of `topics` are missing.
    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError>;

    /// Creates the missing ones of `topics`.
    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError>;

    /// Reads messages of a topic outside any group, for looking at dead letters: those that are
    /// there now, by partition and then offset, at most `limit`, starting at `from` (partition,
    /// offset) or the beginning.
    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError>;
}
