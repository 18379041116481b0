//! Marks on the bus up to which request every reply has left the outbox. The order role sees only the
//! bus, and a committed offset doesn't tell it that the reply was sent: the reply may still wait for the
//! relay.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::groups::{GROUP, REPLIED_GROUP};
use crate::model::topic::Topic;
use crate::ports::bus::{
    Beside, Bus, BusError, Consumer, InMessage, OutMessage, Polled, PublishError, RawMessage,
    Subscription,
};
use crate::ports::groups::Groups;
use crate::ports::journal::BoxError;
use crate::ports::stock::StockStore;

/// The time between two marks, and between two checks of the outbox: well under the time for which an
/// order waits for a mark, and rare enough to cost next to nothing.
const MARK_EVERY: Duration = Duration::from_secs(2);

/// The requests that are replied to.
const MARKED: [Topic; 2] = [Topic::OrderCreated, Topic::OrderCancelled];

/// The offsets that this replica has committed and not marked yet: the next one of each partition.
#[derive(Default)]
struct Committed {
    next: Mutex<BTreeMap<(Arc<str>, i32), i64>>,
    more: Notify,
    /// There may be commits that nobody marks: made by an earlier process of this replica, or by another
    /// replica.
    is_behind: AtomicBool,
}

/// Sets the marks for the requests that are replied to.
pub(super) struct Replied {
    committed: Arc<Committed>,
    groups: Arc<dyn Groups>,
    store: Arc<dyn StockStore>,
}

impl Replied {
    /// Returns it with the bus that the consumer must use, by which it learns the consumer's commits.
    pub(super) fn over(
        bus: Arc<dyn Bus>,
        groups: Arc<dyn Groups>,
        store: Arc<dyn StockStore>,
    ) -> (Arc<dyn Bus>, Self) {
        let committed = Arc::new(Committed::default());
        let watched = CommitObservingBus {
            bus,
            committed: Arc::clone(&committed),
        };
        let replied = Self {
            committed,
            groups,
            store,
        };
        (Arc::new(watched), replied)
    }

    /// Runs until it is dropped. Sleeps while nothing is committed.
    pub(super) async fn run(self) -> Infallible {
        while let Err(error) = self.set_first_marks().await {
            tracing::debug!(%error, "the first marks can't be set yet");
            tokio::time::sleep(MARK_EVERY).await;
        }
        self.committed.fell_behind();
        loop {
            self.committed.more.notified().await;
            tokio::time::sleep(MARK_EVERY).await;
            if let Err(error) = self.catch_up().await {
                tracing::debug!(%error, "what is committed can't be asked for yet");
                self.committed.fell_behind();
            }
            let next = std::mem::take(&mut *self.committed.next.lock());
            if next.is_empty() {
                continue;
            }
            if let Err(error) = self.mark(&next).await {
                tracing::debug!(%error, "marks of what was replied not set yet");
                self.committed.put_back(next);
            }
        }
    }

    /// Marks offset 0 in the partitions without a mark. An order role that finds no mark takes this inventory
    /// for one that sets none, and doesn't wait for replies that are still in the outbox.
    async fn set_first_marks(&self) -> Result<(), BusError> {
        let topics = MARKED.map(|topic| Arc::<str>::from(topic.as_str()));
        let marked = self.groups.progress(REPLIED_GROUP, &topics).await?;
        let mut first = Vec::new();
        for (topic, places) in &marked {
            for (partition, place) in (0_i32..).zip(places) {
                if place.committed.is_none() {
                    first.push((Arc::clone(topic), partition, 0));
                }
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        self.groups.mark(REPLIED_GROUP, &first).await
    }

    /// Notes the commits beyond the marks, of every replica of the group: all of them are in the one
    /// ledger.
    async fn catch_up(&self) -> Result<(), BusError> {
        if !self.committed.is_behind.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let topics = MARKED.map(|topic| Arc::<str>::from(topic.as_str()));
        let read = self.groups.progress(GROUP, &topics).await?;
        let marked = self.groups.progress(REPLIED_GROUP, &topics).await?;
        let mut known = self.committed.next.lock();
        for (topic, partitions) in &read {
            let marks = marked.get(topic).map_or(&[][..], Vec::as_slice);
            for (partition, (number, progress)) in (0_i32..).zip(partitions.iter().enumerate()) {
                let mark = marks.get(number).and_then(|mark| mark.committed);
                if let Some(offset) = progress.committed
                    && Some(offset) > mark
                {
                    known
                        .entry((Arc::clone(topic), partition))
                        .or_insert(offset);
                }
            }
        }
        Ok(())
    }

    async fn mark(&self, next: &BTreeMap<(Arc<str>, i32), i64>) -> Result<(), BoxError> {
        // Replies to the committed requests have numbers up to this one.
        let newest = self.store.replies().await?.newest;
        while let Some(oldest) = self.store.replies().await?.oldest
            && oldest <= newest
        {
            tokio::time::sleep(MARK_EVERY).await;
        }
        let next: Vec<_> = next
            .iter()
            .map(|((topic, partition), offset)| (Arc::clone(topic), *partition, *offset))
            .collect();
        self.groups.mark(REPLIED_GROUP, &next).await?;
        Ok(())
    }
}

impl Committed {
    fn note(&self, next: &[(Arc<str>, i32, i64)]) {
        let is_marked = |topic: &str| MARKED.iter().any(|marked| marked.as_str() == topic);
        let mut known = self.next.lock();
        for (topic, partition, offset) in next {
            if is_marked(topic) {
                known.insert((Arc::clone(topic), *partition), *offset);
            }
        }
        drop(known);
        self.more.notify_one();
    }

    /// Offsets that have been noted since are newer, so they stay.
    fn put_back(&self, next: BTreeMap<(Arc<str>, i32), i64>) {
        let mut known = self.next.lock();
        for (partition, offset) in next {
            known.entry(partition).or_insert(offset);
        }
        drop(known);
        self.more.notify_one();
    }

    /// Forgets revoked partitions: their new owners commit and mark them.
    fn forget(&self, revoked: &[(Arc<str>, i32)]) {
        let mut known = self.next.lock();
        known.retain(|partition, _| !revoked.contains(partition));
        drop(known);
        self.fell_behind();
    }

    fn fell_behind(&self) {
        self.is_behind.store(true, Ordering::Release);
        self.more.notify_one();
    }
}

/// The bus, with consumers that note what they commit.
struct CommitObservingBus {
    bus: Arc<dyn Bus>,
    committed: Arc<Committed>,
}

struct CommitObservingConsumer {
    consumer: Box<dyn Consumer>,
    committed: Arc<Committed>,
}

#[async_trait]
impl Bus for CommitObservingBus {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        self.bus.publish(messages).await
    }

    async fn forward(&self, message: RawMessage) -> Result<(), PublishError> {
        self.bus.forward(message).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(CommitObservingConsumer {
            consumer: self.bus.subscribe(subscription).await?,
            committed: Arc::clone(&self.committed),
        }))
    }

    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        self.bus.missing_topics(topics).await
    }

    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError> {
        self.bus.create_topics(topics).await
    }

    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        self.bus.read(topic, from, limit).await
    }
}

#[async_trait]
impl Consumer for CommitObservingConsumer {
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError> {
        let polled = self.consumer.poll(max, timeout).await?;
        if let Polled::Revoked(revoked) = &polled {
            self.committed.forget(revoked);
        }
        Ok(polled)
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        let committed = self.consumer.commit(next);
        let (noted, next) = (Arc::clone(&self.committed), next.to_vec());
        async move {
            committed.await?;
            noted.note(&next);
            Ok(())
        }
        .boxed()
    }

    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        self.consumer.pause(partitions).await
    }

    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        self.consumer.resume(partitions).await
    }

    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>> {
        self.consumer.lag()
    }

    async fn close(self: Box<Self>) {
        self.consumer.close().await;
    }
}
