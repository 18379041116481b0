//! The partitions assigned to a consumer: the offset that each may commit, and which ones to pause
//! because too many of their messages are in hand. Leaves the offsets within one partition to
//! [`super::offsets`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::key_queue::TopicPartition;
use super::offsets::Offsets;
use crate::ports::bus::InMessage;

/// A partition with this many unfinished messages is paused: several batches.
const PARTITION_MESSAGES_MAX: usize = 2_000;
/// With this many unfinished messages together, all partitions are paused.
const TOTAL_MESSAGES_MAX: usize = 10_000;
/// The same bound in bytes of key, headers and value: the memory that a replica can spare.
const TOTAL_BYTES_MAX: usize = 32 << 20;
/// How far reading may run ahead of a message that is being retried. A crash repeats at most this many
/// messages.
const WINDOW_MAX: u64 = 50_000;

#[derive(Debug)]
struct Partition {
    offsets: Offsets,
    /// The number of this assignment of the partition. Messages and commits of an earlier one are void.
    generation: u64,
    unfinished: usize,
    bytes: usize,
    paused: bool,
}

/// All partitions of the consumer.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    by_partition: HashMap<TopicPartition, Partition>,
    generations: u64,
    total: usize,
    total_bytes: usize,
    /// A message has been finished since the offsets to commit were last taken.
    is_ahead: bool,
}

/// An offset to commit.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) partition: TopicPartition,
    /// The next offset to read.
    pub(super) next: i64,
    generation: u64,
}

impl Partitions {
    /// Notes a message that was read. Returns `false` if its offset has been read before.
    pub(super) fn read(&mut self, partition: &TopicPartition, message: &InMessage) -> bool {
        let generations = &mut self.generations;
        let state = self
            .by_partition
            .entry(partition.clone())
            .or_insert_with(|| {
                *generations += 1;
                Partition {
                    offsets: Offsets::starting_at(message.offset),
                    generation: *generations,
                    unfinished: 0,
                    bytes: 0,
                    paused: false,
                }
            });
        if !state.offsets.read(message.offset) {
            return false;
        }
        state.unfinished += 1;
        state.bytes += size(message);
        self.total += 1;
        self.total_bytes += size(message);
        true
    }

    /// A message in hand is finished: handled or parked.
    pub(super) fn finish(&mut self, partition: &TopicPartition, message: &InMessage) {
        let Some(state) = self.by_partition.get_mut(partition) else {
            return;
        };
        self.is_ahead = true;
        state.offsets.finish(message.offset);
        state.unfinished -= 1;
        state.bytes -= size(message);
        self.total -= 1;
        self.total_bytes -= size(message);
    }

    /// Forgets these partitions.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(state) = self.by_partition.remove(partition) {
                self.total -= state.unfinished;
                self.total_bytes -= state.bytes;
            }
        }
    }

    /// The number of the partition's current assignment.
    pub(super) fn generation(&self, partition: &TopicPartition) -> Option<u64> {
        self.by_partition
            .get(partition)
            .map(|state| state.generation)
    }

    /// Whether [`Self::take_progress`] may return offsets.
    pub(super) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// The offsets that may be committed and have not been.
    pub(super) fn take_progress(&mut self) -> Vec<Progress> {
        self.is_ahead = false;
        self.by_partition
            .iter()
            .filter_map(|(partition, state)| {
                Some(Progress {
                    partition: partition.clone(),
                    next: state.offsets.to_commit()?,
                    generation: state.generation,
                })
            })
            .collect()
    }

    /// The bus has stored these offsets.
    pub(super) fn committed(&mut self, progress: &[Progress]) {
        for Progress {
            partition,
            next,
            generation,
        } in progress
        {
            if let Some(state) = self.by_partition.get_mut(partition)
                && state.generation == *generation
            {
                state.offsets.committed(*next);
            }
        }
    }

    /// A commit has failed, so its offsets are still to be committed.
    pub(super) fn commit_again(&mut self) {
        self.is_ahead = true;
    }

    /// The partitions that have enough in hand and aren't paused yet.
    pub(super) fn to_pause(&self) -> Vec<TopicPartition> {
        self.which(|state| self.is_to_pause(state))
    }

    /// The paused partitions that have room again: below half of each limit, so that they aren't paused
    /// and resumed message by message.
    pub(super) fn to_resume(&self) -> Vec<TopicPartition> {
        self.which(|state| self.is_to_resume(state))
    }

    /// Whether there is a partition to pause or to resume.
    pub(super) fn wants_throttling(&self) -> bool {
        let mut all = self.by_partition.values();
        all.any(|state| self.is_to_pause(state) || self.is_to_resume(state))
    }

    fn is_to_pause(&self, state: &Partition) -> bool {
        let full = self.total >= TOTAL_MESSAGES_MAX || self.total_bytes >= TOTAL_BYTES_MAX;
        let enough =
            state.unfinished >= PARTITION_MESSAGES_MAX || state.offsets.window() >= WINDOW_MAX;
        !state.paused && (full || enough)
    }

    fn is_to_resume(&self, state: &Partition) -> bool {
        let room = self.total <= TOTAL_MESSAGES_MAX / 2 && self.total_bytes <= TOTAL_BYTES_MAX / 2;
        let few = state.unfinished <= PARTITION_MESSAGES_MAX / 2
            && state.offsets.window() <= WINDOW_MAX / 2;
        state.paused && room && few
    }

    /// The consumer has paused or resumed these.
    pub(super) fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            if let Some(state) = self.by_partition.get_mut(partition) {
                state.paused = paused;
            }
        }
    }

    /// Unfinished messages by topic.
    pub(super) fn in_hand(&self) -> BTreeMap<Arc<str>, u64> {
        let mut by_topic = BTreeMap::new();
        for ((topic, _), state) in &self.by_partition {
            *by_topic.entry(Arc::clone(topic)).or_default() += state.unfinished as u64;
        }
        by_topic
    }

    fn which(&self, wanted: impl Fn(&Partition) -> bool) -> Vec<TopicPartition> {
        let matching = self.by_partition.iter().filter(|(_, state)| wanted(state));
        matching.map(|(partition, _)| partition.clone()).collect()
    }
}

fn size(message: &InMessage) -> usize {
    let headers = message.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    headers + length(&message.key) + length(&message.payload)
}
