//! A queue: messages of one key in one partition, handled one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::handler::Reason;
use crate::ports::bus::InMessage;

/// A topic and a partition.
pub(super) type TopicPartition = (Arc<str>, i32);

/// Which queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyQueueId {
    pub(super) place: TopicPartition,
    pub(super) key: QueueKey,
}

/// What its messages have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum QueueKey {
    /// The handler's word.
    Shared(Bytes),
    /// Nothing: one message, by its offset.
    Alone(i64),
}

/// One message in hand.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) message: Arc<InMessage>,
    /// How often it was tried.
    pub(super) failures: u32,
    /// How long it has been kept waiting, by its own fault and by others'. Time during which a
    /// dependency was away is in neither.
    pub(super) retried: Duration,
    pub(super) kept_busy: Duration,
    /// Messages in one call of the handler with it: a call that failed as a whole isn't made again as
    /// it was, so that one message can't keep others from being handled.
    pub(super) together_max: usize,
    /// How much had got through when a dependency failed it for the last time.
    pub(super) let_down_at: Option<u64>,
    /// Set once it is to be parked.
    pub(super) parking: Option<Reason>,
}

impl Item {
    pub(super) fn new(message: InMessage) -> Self {
        Self {
            message: Arc::new(message),
            failures: 0,
            retried: Duration::ZERO,
            kept_busy: Duration::ZERO,
            together_max: usize::MAX,
            let_down_at: None,
            parking: None,
        }
    }

    /// What it has waited for on `account`.
    pub(super) fn waited(&mut self, account: Account) -> Option<&mut Duration> {
        match account {
            Account::Retried => Some(&mut self.retried),
            Account::KeptBusy => Some(&mut self.kept_busy),
            Account::Nobodys => None,
        }
    }
}

/// By whose fault a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Its own: it came too early.
    Retried,
    /// Of whoever handles it, who is busy.
    KeptBusy,
    /// Of what counts for no limit.
    Nobodys,
}

/// What the first message of a queue is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In a queue to be handled or parked.
    Ready,
    /// Being handled or parked.
    Working,
    /// Until its time comes, which was counted in full on `account`; the number tells apart queues that
    /// are due at once.
    Waiting {
        due: Instant,
        number: u64,
        account: Account,
    },
}

/// The messages, the first of which is at work.
#[derive(Debug)]
pub(super) struct KeyQueue {
    pub(super) items: VecDeque<Item>,
    pub(super) stage: Stage,
}
