//! One member of a consumer group, over librdkafka's consumer. Leaves keeping the order of messages and
//! pausing partitions to the consumer loop.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::ready;
use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Client, blocking};
use super::context::{Assigned, TopicPartition};
use super::convert;
use crate::ports::bus::{Beside, BusError, Consumer, InMessage, Polled, Subscription};
use crate::telemetry::repeated::RepeatedLog;

/// How long leaving the group may take. The closing handshake with a reachable broker takes less.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a question for the lag may take. It is short, because the answer is only for a gauge.
const LAG_TIMEOUT: Duration = Duration::from_secs(1);

type Native = StreamConsumer<Assigned>;

/// A member over librdkafka's consumer.
pub(super) struct KafkaConsumer {
    client: Client,
    subscription: Subscription,
    /// `None` after a fatal error, until the next use makes another one.
    native: Option<Arc<Native>>,
    /// Topics by their name on the broker.
    names: HashMap<String, Arc<str>>,
    /// Messages that were read before the rebalance was reported, to be returned by the next poll.
    stash: Vec<InMessage>,
    /// The last error of the client that no poll has reported yet.
    failure: Option<KafkaError>,
    /// Partitions that were lost with a consumer that had to be made anew.
    lost: Vec<TopicPartition>,
    unreadable: RepeatedLog,
    /// The log of fatal errors, as when two members of one name end each other.
    ended: RepeatedLog,
}

impl KafkaConsumer {
    pub(super) fn join(client: Client, subscription: Subscription) -> Result<Self, BusError> {
        let names = subscription
            .topics
            .iter()
            .map(|topic| (client.prefixed(topic), Arc::clone(topic)))
            .collect();
        let mut consumer = Self {
            client,
            subscription,
            native: None,
            names,
            stash: Vec::new(),
            failure: None,
            lost: Vec::new(),
            unreadable: RepeatedLog::new(),
            ended: RepeatedLog::new(),
        };
        consumer.native()?;
        Ok(consumer)
    }

    fn native(&mut self) -> Result<Arc<Native>, BusError> {
        if let Some(native) = &self.native {
            return Ok(Arc::clone(native));
        }
        let config = self.client.consumer_config(&self.subscription);
        let native: Native = config
            .create_with_context(Assigned::default())
            .map_err(away)?;
        let topics: Vec<&str> = self.names.keys().map(String::as_str).collect();
        native.subscribe(&topics).map_err(away)?;
        let native = Arc::new(native);
        self.native = Some(Arc::clone(&native));
        Ok(native)
    }

    fn ours(&self, partitions: Vec<TopicPartition>) -> Vec<(Arc<str>, i32)> {
        partitions
            .into_iter()
            .filter_map(|(topic, partition)| Some((Arc::clone(self.names.get(&topic)?), partition)))
            .collect()
    }

    fn list(&self, partitions: &[(Arc<str>, i32)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition(&self.client.prefixed(topic), *partition);
        }
        list
    }

    /// Handles an error of the whole client. A fatal one ends the client and all its assignments.
    fn fail(&mut self, error: KafkaError) -> BusError {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_))
            || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
            || error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId);
        if fatal && let Some(native) = self.native.take() {
            if let Some(repeats) = self.ended.failed(tokio::time::Instant::now()) {
                let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
                tracing::error!(
                    %error,
                    group = &*self.subscription.group,
                    member = &*self.subscription.member,
                    count,
                    lasting_s,
                    "consumer ended by a fatal error (is a second member of this name running?)"
                );
            }
            self.lost.extend(native.context().take_all());
            self.stash.clear();
            self.failure = None;
            drop(release(native));
        }
        away(error)
    }

    /// Logs an error that leaves the other topics readable.
    fn warn_of_topic(&self, error: &KafkaError) {
        if let Some(repeats) = self.unreadable.failed(tokio::time::Instant::now()) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            let group = &*self.subscription.group;
            tracing::warn!(%error, group, count, lasting_s, "topic can't be read");
        }
    }

    /// Reports the revoked partitions. Keeps the messages of the other partitions for the next poll.
    fn revoked(&mut self, revoked: Vec<TopicPartition>, mut messages: Vec<InMessage>) -> Polled {
        let revoked = self.ours(revoked);
        messages.retain(|m: &InMessage| {
            !revoked
                .iter()
                .any(|(topic, partition)| *topic == m.topic && *partition == m.partition)
        });
        self.stash = messages;
        Polled::Revoked(revoked)
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError> {
        if !self.lost.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            return Ok(Polled::Revoked(self.ours(lost)));
        }
        let native = self.native()?;
        // Asked for explicitly: only the last error is kept, and another may have come after the fatal
        // one.
        if let Some((code, reason)) = native.client().fatal_error() {
            tracing::debug!(reason, "fatal error of the consumer");
            return Err(self.fail(KafkaError::MessageConsumptionFatal(code)));
        }
        let mut stream = native.stream();
        let mut messages = std::mem::take(&mut self.stash);
        // While the broker is away every attempt to connect leaves an error in the queue. All say the
        // same, so a poll takes all that are queued. With one error a poll, the caller, which pauses
        // after each, would reach the messages long after the broker is back.
        let mut errors = 0;
        while messages.len() + errors < max {
            // A rebalance runs inside the call that looks for the next message, and must be reported at
            // once.
            let mut next = poll_fn(|cx| match stream.poll_next_unpin(cx) {
                Poll::Pending if native.context().has_revoked() => Poll::Ready(None),
                next => next,
            });
            // Waits only while it holds no message, so that dropping this future loses nothing.
            let next = if messages.is_empty() && self.failure.is_none() {
                tokio::time::timeout(timeout, &mut next).await.ok()
            } else {
                (&mut next).now_or_never()
            };
            let revoked = native.context().take_revoked();
            let read = match next.flatten() {
                Some(Ok(message)) => self
                    .names
                    .get(message.topic())
                    .map(|topic| convert::received(&message, Arc::clone(topic))),
                Some(Err(error)) if is_about_one_topic(&error) => {
                    self.warn_of_topic(&error);
                    None
                }
                Some(Err(error)) => {
                    errors += 1;
                    self.failure = Some(error);
                    None
                }
                None if revoked.is_empty() => break,
                None => None,
            };
            if !revoked.is_empty() {
                let told = self.revoked(revoked, messages);
                // A rebalance runs before the message that the same call returns.
                self.stash.extend(read);
                return Ok(told);
            }
            messages.extend(read);
        }
        match self.failure.take() {
            Some(error) if messages.is_empty() => Err(self.fail(error)),
            failure => {
                self.failure = failure;
                Ok(Polled::Messages(messages))
            }
        }
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        let mut list = TopicPartitionList::with_capacity(next.len());
        let listed = next.iter().try_for_each(|(topic, partition, offset)| {
            let offset = Offset::Offset(*offset);
            list.add_partition_offset(&self.client.prefixed(topic), *partition, offset)
        });
        let native = match (listed, self.native()) {
            (Err(error), _) => return ready(Err(away(error))).boxed(),
            (_, Err(error)) => return ready(Err(error)).boxed(),
            (Ok(()), Ok(native)) => native,
        };
        // Checked just before the commit: a partition that was revoked meanwhile is another member's to
        // commit.
        blocking(move || {
            let list = native.context().still_assigned(&list);
            if list.count() == 0 {
                return Ok(());
            }
            native.commit(&list, CommitMode::Sync)
        })
        .boxed()
    }

    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        let list = self.list(partitions);
        self.native()?.pause(&list).map_err(away)
    }

    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        let list = self.list(partitions);
        self.native()?.resume(&list).map_err(away)
    }

    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>> {
        let native = match self.native() {
            Ok(native) => native,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let names = self.names.clone();
        let mut by_topic: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for message in &self.stash {
            *by_topic.entry(Arc::clone(&message.topic)).or_default() += 1;
        }
        let behind = blocking(move || unread(&native));
        async move {
            for (topic, count) in behind.await? {
                if let Some(topic) = names.get(&topic) {
                    *by_topic.entry(Arc::clone(topic)).or_default() += count;
                }
            }
            Ok(by_topic)
        }
        .boxed()
    }

    async fn close(mut self: Box<Self>) {
        let Some(native) = self.native.take() else {
            return;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, release(native))
            .await
            .is_err()
        {
            tracing::warn!(
                group = &*self.subscription.group,
                "consumer is slow to close"
            );
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        if let Some(native) = self.native.take() {
            drop(release(native));
        }
    }
}

/// Closes the consumer on a thread of its own: closing blocks, and a broker that is away must not hold up
/// a runtime that is shutting down. The receiver is told when it is done.
fn release(native: Arc<Native>) -> tokio::sync::oneshot::Receiver<()> {
    let (done, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(native);
        // The receiver may have gone.
        let _ = done.send(());
    });
    wait
}

/// Counts the unread messages of each assigned partition: from the position, or else the committed
/// offset, or else the beginning, to the end. Asks each broker once; blocks.
fn unread(native: &Native) -> Result<Vec<(String, u64)>, KafkaError> {
    let assigned = native.assignment()?;
    if assigned.count() == 0 {
        return Ok(Vec::new());
    }
    let positions = native.position()?;
    let mut unknown = TopicPartitionList::new();
    for element in positions.elements() {
        if !matches!(element.offset(), Offset::Offset(_)) {
            unknown.add_partition(element.topic(), element.partition());
        }
    }
    // Nobody else commits the partitions that are assigned here, so committed offsets are needed only
    // where nothing has been read yet.
    let committed = match unknown.count() {
        0 => unknown,
        _ => native.committed_offsets(unknown, LAG_TIMEOUT)?,
    };
    // A time of -1 asks for the end (Kafka's ListOffsets), which is what `Offset::End` is.
    let mut wanted = assigned;
    wanted.set_all_offsets(Offset::End)?;
    let ends = native.offsets_for_times(wanted, LAG_TIMEOUT)?;
    let mut behind = Vec::with_capacity(ends.count());
    for element in ends.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let Offset::Offset(end) = element.offset() else {
            continue;
        };
        let at = |list: &TopicPartitionList| match list.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let next = at(&positions).or_else(|| at(&committed)).unwrap_or(0);
        let count = u64::try_from(end - next).unwrap_or(0);
        behind.push((topic.to_owned(), count));
    }
    Ok(behind)
}

/// Whether the error leaves the other topics readable.
fn is_about_one_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    )
}

fn away(error: KafkaError) -> BusError {
    BusError(Box::new(error))
}
