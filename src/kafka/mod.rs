//! The bus on Apache Kafka, by librdkafka. It knows topics and bytes, and leaves the content of messages
//! to its callers.

mod acknowledged;
mod admin;
mod client;
mod consumer;
mod context;
mod convert;
mod producer;
mod progress;
mod publish_batch;
mod read;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use crate::ports::bus::{
    Bus, BusError, Consumer, InMessage, OutMessage, PublishError, RawMessage, Subscription, Told,
};
use crate::ports::groups::{GroupProgress, Groups};
use client::Client;
use producer::Producer;

pub use settings::KafkaSettings;

/// A connection to Kafka. It is made without using the network: a broker that is away is noticed at the
/// first use.
pub struct KafkaBus {
    client: Client,
    producer: Producer,
}

impl KafkaBus {
    /// Checks the settings and starts the producer's threads.
    pub fn new(settings: KafkaSettings) -> Result<Self, BusError> {
        let client = Client::new(settings);
        let producer = Producer::new(client.clone())?;
        Ok(Self { client, producer })
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        let messages = messages.into_iter().map(convert::raw).collect();
        self.producer.publish(messages).await
    }

    async fn publish_each(
        &self,
        messages: Vec<OutMessage>,
        told: &(dyn Fn(Vec<Told>) + Send + Sync),
    ) {
        let messages = messages.into_iter().map(convert::raw).collect();
        self.producer.publish_each(messages, told).await;
    }

    async fn forward(&self, message: RawMessage) -> Result<(), PublishError> {
        let results = self.producer.publish(vec![message]).await;
        results.into_iter().collect()
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        consumer::KafkaConsumer::join(self.client.clone(), subscription)
            .map(|consumer| Box::new(consumer) as Box<dyn Consumer>)
    }

    async fn missing_topics(&self, topics: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        admin::missing_topics(&self.client, topics).await
    }

    async fn create_topics(&self, topics: &[Arc<str>]) -> Result<(), BusError> {
        admin::create_topics(&self.client, topics).await
    }

    async fn read(
        &self,
        topic: &str,
        from: Option<(i32, i64)>,
        limit: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        read::read(&self.client, topic, from, limit).await
    }
}

#[async_trait]
impl Groups for KafkaBus {
    async fn progress(&self, group: &str, topics: &[Arc<str>]) -> Result<GroupProgress, BusError> {
        progress::progress(&self.client, group, topics).await
    }

    async fn mark(&self, group: &str, next: &[(Arc<str>, i32, i64)]) -> Result<(), BusError> {
        progress::mark(&self.client, group, next).await
    }

    fn partition_of(&self, key: &str, partitions: usize) -> usize {
        progress::partition_of(key.as_bytes(), partitions)
    }
}
