//! Reads a topic outside any consumer group.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{CALL_TIMEOUT, Client, blocking};
use super::context::Logged;
use super::convert;
use crate::ports::bus::{BusError, InMessage};

/// Reads the messages that are in `topic` now, by partition and offset, from `from` on, at most `limit`.
/// A missing topic is read as empty.
pub(super) async fn read(
    client: &Client,
    topic: &str,
    from: Option<(i32, i64)>,
    limit: usize,
) -> Result<Vec<InMessage>, BusError> {
    let config = client.reader_config();
    let reading = Reading {
        on_broker: client.prefixed(topic),
        topic: topic.into(),
        deadline: Instant::now() + CALL_TIMEOUT,
        limit,
    };
    blocking(move || {
        let reader: BaseConsumer<Logged> = config.create_with_context(Logged)?;
        reading.run(&reader, from.unwrap_or((0, 0)))
    })
    .await
}

struct Reading {
    on_broker: String,
    topic: Arc<str>,
    deadline: Instant,
    limit: usize,
}

impl Reading {
    fn run(
        &self,
        reader: &BaseConsumer<Logged>,
        (first, offset): (i32, i64),
    ) -> Result<Vec<InMessage>, KafkaError> {
        let metadata = reader.fetch_metadata(Some(&self.on_broker), CALL_TIMEOUT)?;
        let Some(found) = metadata.topics().first() else {
            return Ok(Vec::new());
        };
        let mut partitions: Vec<i32> = found
            .partitions()
            .iter()
            .map(MetadataPartition::id)
            .collect();
        partitions.sort_unstable();
        let mut messages = Vec::new();
        for partition in partitions.into_iter().filter(|p| *p >= first) {
            let start = if partition == first { offset } else { 0 };
            self.read_partition(reader, partition, start, &mut messages)?;
            if messages.len() >= self.limit {
                break;
            }
        }
        Ok(messages)
    }

    fn read_partition(
        &self,
        reader: &BaseConsumer<Logged>,
        partition: i32,
        start: i64,
        into: &mut Vec<InMessage>,
    ) -> Result<(), KafkaError> {
        // Also skips empty partitions, whose end would show only after a fetch has waited.
        let (low, high) = reader.fetch_watermarks(&self.on_broker, partition, CALL_TIMEOUT)?;
        let start = start.max(low);
        if start >= high {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.on_broker, partition, Offset::Offset(start))?;
        reader.assign(&list)?;
        while into.len() < self.limit {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match reader.poll(left) {
                Some(Ok(message)) => {
                    let message = convert::received(&message, Arc::clone(&self.topic));
                    // The reader's queue may still hold messages of the partition before.
                    if message.partition != partition {
                        continue;
                    }
                    let next = message.offset + 1;
                    if next <= high {
                        into.push(message);
                    }
                    if next >= high {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(ended))) if ended == partition => break,
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(error),
                None if left.is_zero() => {
                    let code = RDKafkaErrorCode::OperationTimedOut;
                    return Err(KafkaError::MessageConsumption(code));
                }
                None => {}
            }
        }
        reader.unassign()
    }
}
