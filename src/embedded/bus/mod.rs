//! The bus on the file: topics of four partitions, offsets and headers as Kafka has them, so that a program
//! can't tell the difference. Leaves dead letters and retries to the consumers.

mod assign;
mod consumer;
mod embedded_bus;
pub(super) mod headers;
mod hub;
mod progress;
mod publish;
mod retention;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;

pub(super) use self::embedded_bus::EmbeddedBus;
pub(super) use self::retention::Retention;

use self::consumer::EmbeddedConsumer;
use self::hub::Partition;
use self::publish::Message;
use super::error::WriteError;
use crate::ports::bus::{
    Bus, BusError, Consumer, InMessage, OutMessage, PublishError, RawMessage, Subscription,
};
use crate::ports::groups::{GroupProgress, Groups};

/// Partitions of a topic: enough to see several in use, few enough for a laptop.
const PARTITIONS: i32 = 4;

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        let messages: Vec<_> = messages.iter().map(Message::of).collect();
        publish::publish(self, &messages).await
    }

    async fn forward(&self, message: RawMessage) -> Result<(), PublishError> {
        let mut results = publish::publish(self, &[Message::of_raw(&message)]).await;
        // One message, one result.
        results.pop().unwrap_or(Ok(()))
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        if self.db.closing.is_cancelled() {
            return Err(BusError(WriteError::Closed.into()));
        }
        Ok(Box::new(EmbeddedConsumer::join(
            Arc::clone(&self.db),
            Arc::clone(&self.hub),
            subscription,
        )))
    }

    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        let missing = topics
            .iter()
            .filter(|topic| self.hub.topic(topic).is_empty());
        Ok(missing.cloned().collect())
    }

    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError> {
        let topics = self.missing_topics(topics).await?;
        if topics.is_empty() {
            return Ok(());
        }
        let hub = Arc::clone(&self.hub);
        let created = self.db.writer.write_then(
            move |conn| async move { rows::create_topics(conn, &topics, PARTITIONS).await }.boxed(),
            move |partitions: &Vec<Partition>| hub.put(partitions.clone()),
        );
        created
            .await
            .map(drop)
            .map_err(|error| BusError(error.into()))
    }

    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        let (number, offset) = from.unwrap_or((0, 0));
        let mut messages = Vec::new();
        for partition in self.hub.topic(topic) {
            if partition.number < number {
                continue;
            }
            if messages.len() >= limit {
                break;
            }
            let start = if partition.number == number {
                offset
            } else {
                0
            };
            // Read without a byte limit: a page with a gap would look like a complete one.
            let room = (limit - messages.len(), usize::MAX);
            rows::fetch(&self.db.reads, &partition, start, room, &mut messages)
                .await
                .map_err(|error| BusError(error.into()))?;
        }
        Ok(messages)
    }
}

#[async_trait]
impl Groups for EmbeddedBus {
    async fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<GroupProgress, BusError> {
        progress::progress(self, group, topics).await
    }

    async fn mark(&self, group: &str, next: &[(Arc<str>, i32, i64)]) -> Result<(), BusError> {
        progress::mark(self, group, next).await
    }

    fn partition_of(&self, key: &str, partitions: usize) -> usize {
        publish::partition_of(key.as_bytes(), partitions)
    }
}
