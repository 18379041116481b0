//! Asks for the progress of a consumer group from outside the group, and sets marks as the offsets of a
//! group without members.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::client::{Client, blocking};
use super::context::Logged;
use crate::ports::bus::BusError;
use crate::ports::groups::{GroupProgress, Progress};

/// How long one question may take. It is short, because the caller has other work to do.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

type Reader = BaseConsumer<Logged>;

/// Asks for a group's progress. Makes a new client each time: callers ask only while an answer is late,
/// and a client that is kept costs work even when it is idle.
pub(super) async fn progress(
    client: &Client,
    group: &str,
    topics: &[Arc<str>],
) -> Result<GroupProgress, BusError> {
    let config = outside(client, group);
    let topics: Vec<(Arc<str>, String)> = topics
        .iter()
        .map(|topic| (Arc::clone(topic), client.prefixed(topic)))
        .collect();
    blocking(move || {
        let reader: Reader = config.create_with_context(Logged)?;
        ask(&reader, &topics)
    })
    .await
}

fn outside(client: &Client, group: &str) -> ClientConfig {
    let mut config = client.reader_config();
    config.set("group.id", client.prefixed(group));
    config
}

fn ask(reader: &Reader, topics: &[(Arc<str>, String)]) -> Result<GroupProgress, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    for (_, on_broker) in topics {
        let metadata = reader.fetch_metadata(Some(on_broker), ASK_TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            wanted.add_partition(on_broker, partition.id());
        }
    }
    if wanted.count() == 0 {
        return Ok(topics
            .iter()
            .map(|(t, _)| (Arc::clone(t), Vec::new()))
            .collect());
    }
    // A time of -1 asks for the end (Kafka's ListOffsets), which is what `Offset::End` is. Ends are asked
    // for before committed offsets: messages that a group reads between the two questions must not look
    // unread.
    let mut ends = wanted.clone();
    ends.set_all_offsets(Offset::End)?;
    let ends = reader.offsets_for_times(ends, ASK_TIMEOUT)?;
    let committed = reader.committed_offsets(wanted, ASK_TIMEOUT)?;
    let at = |list: &TopicPartitionList, topic: &str, partition| match list
        .find_partition(topic, partition)?
        .offset()
    {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    let mut found = GroupProgress::new();
    for (topic, on_broker) in topics {
        let mut numbers: Vec<i32> = ends
            .elements_for_topic(on_broker)
            .iter()
            .map(TopicPartitionListElem::partition)
            .collect();
        numbers.sort_unstable();
        let partitions = numbers.into_iter().map(|partition| {
            // An unknown end fails the whole question, because nothing is then known of the partition.
            let end = at(&ends, on_broker, partition).ok_or(KafkaError::OffsetFetch(
                rdkafka::error::RDKafkaErrorCode::PartitionEOF,
            ))?;
            let committed = at(&committed, on_broker, partition);
            Ok(Progress { committed, end })
        });
        let partitions = partitions.collect::<Result<Vec<_>, KafkaError>>()?;
        found.insert(Arc::clone(topic), partitions);
    }
    Ok(found)
}

/// Commits offsets for a group without members. Makes a new client each time, too: nobody would poll the
/// events of one that is kept, and marks are seconds apart.
pub(super) async fn mark(
    client: &Client,
    group: &str,
    next: &[(Arc<str>, i32, i64)],
) -> Result<(), BusError> {
    let mut list = TopicPartitionList::with_capacity(next.len());
    for (topic, partition, offset) in next {
        let offset = Offset::Offset(*offset);
        list.add_partition_offset(&client.prefixed(topic), *partition, offset)
            .map_err(|error| BusError(error.into()))?;
    }
    let config = outside(client, group);
    blocking(move || {
        let committer: Reader = config.create_with_context(Logged)?;
        committer.commit(&list, CommitMode::Sync)
    })
    .await
}

/// The partitioner `murmur2_random`, for a message with a key.
pub(super) fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash = murmur2(key) & 0x7fff_ffff;
    hash as usize % partitions.max(1)
}

/// `MurmurHash2` as Kafka's Java client has it.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c_u32 ^ length;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        // Four bytes each.
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap_or_default()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (byte, shift) in rest.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}
