//! Finds out which topics are missing, and creates them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::client::{CALL_TIMEOUT, Client, blocking};
use super::context::Logged;
use crate::ports::bus::BusError;

/// Dead letters are kept longer than other messages: 30 days, so that a letter of a Friday evening
/// outlives a holiday.
const DEAD_LETTER_RETENTION_MS: &str = "2592000000";

/// Brokers learn of a new topic one after the other.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);
const VISIBLE_PAUSE: Duration = Duration::from_millis(50);

/// Which of `topics` the cluster doesn't have. Asks for all names: asking for one can create it.
pub(super) async fn missing_topics(
    client: &Client,
    topics: &[Arc<str>],
) -> Result<Vec<Arc<str>>, BusError> {
    let config = client.reader_config();
    let there = blocking(move || {
        let reader: BaseConsumer<Logged> = config.create_with_context(Logged)?;
        let metadata = reader.fetch_metadata(None, CALL_TIMEOUT)?;
        let names = metadata.topics().iter();
        Ok::<BTreeSet<String>, KafkaError>(names.map(|topic| topic.name().to_owned()).collect())
    })
    .await?;
    Ok(topics
        .iter()
        .filter(|topic| !there.contains(&client.prefixed(topic)))
        .cloned()
        .collect())
}

/// Creates those of `topics` that are missing, and waits until they can be used.
pub(super) async fn create_topics(client: &Client, topics: &[Arc<str>]) -> Result<(), BusError> {
    let missing = missing_topics(client, topics).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let settings = client.settings();
    let names: Vec<String> = missing.iter().map(|topic| client.prefixed(topic)).collect();
    let wanted: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let replication = TopicReplication::Fixed(settings.replication);
            let topic = NewTopic::new(name, settings.partitions, replication);
            if name.ends_with(crate::model::topic::DEAD_LETTER_SUFFIX) {
                topic.set("retention.ms", DEAD_LETTER_RETENTION_MS)
            } else {
                topic
            }
        })
        .collect();
    let admin: AdminClient<Logged> = client
        .base_config()
        .create_with_context(Logged)
        .map_err(|error| BusError(Box::new(error)))?;
    let options = AdminOptions::new()
        .request_timeout(Some(CALL_TIMEOUT))
        .operation_timeout(Some(CALL_TIMEOUT));
    let results = admin
        .create_topics(&wanted, &options)
        .await
        .map_err(|error| BusError(Box::new(error)))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                tracing::error!(topic, %code, "topic could not be created");
                return Err(BusError(Box::new(KafkaError::AdminOp(code))));
            }
        }
    }
    wait_until_visible(client, &missing).await
}

async fn wait_until_visible(client: &Client, topics: &[Arc<str>]) -> Result<(), BusError> {
    let deadline = Instant::now() + VISIBLE_TIMEOUT;
    loop {
        if missing_topics(client, topics).await?.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let code = RDKafkaErrorCode::UnknownTopicOrPartition;
            return Err(BusError(Box::new(KafkaError::MetadataFetch(code))));
        }
        tokio::time::sleep(VISIBLE_PAUSE).await;
    }
}
