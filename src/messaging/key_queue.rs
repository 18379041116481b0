//! A key queue: the messages of one key in one partition, handled one after the other. Leaves moving the
//! queues along to [`super::in_flight`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::handler::Reason;
use crate::ports::bus::InMessage;

/// A topic and a partition.
pub(super) type TopicPartition = (Arc<str>, i32);

/// Names a key queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyQueueId {
    pub(super) partition: TopicPartition,
    pub(super) key: QueueKey,
}

/// The key of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum QueueKey {
    /// The key that the handler gives.
    Shared(Bytes),
    /// No key: a queue of one message, by its offset.
    Alone(i64),
}

/// One message in hand.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) message: Arc<InMessage>,
    /// How often it was tried.
    pub(super) failures: u32,
    /// How long it has waited: `retried` because it came too early, `kept_busy` because the handler was
    /// busy. Neither counts time during which a dependency was away.
    pub(super) retried: Duration,
    pub(super) kept_busy: Duration,
    /// The most messages in a call that includes it. A call that failed as a whole is made again with
    /// fewer messages, so that one message can't block the others.
    pub(super) together_max: usize,
    /// How many messages had got through when a dependency last failed it.
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

    /// How long it has waited on `account`.
    pub(super) fn waited(&mut self, account: Account) -> Option<&mut Duration> {
        match account {
            Account::Retried => Some(&mut self.retried),
            Account::KeptBusy => Some(&mut self.kept_busy),
            Account::Nobodys => None,
        }
    }
}

/// By whose fault a message waits, which decides the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Its own fault: it came too early.
    Retried,
    /// The fault of the handler, which is busy.
    KeptBusy,
    /// Nobody's fault: the wait counts against no limit.
    Nobodys,
}

/// The stage of a queue's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Ready to be handled or parked.
    Ready,
    /// Being handled or parked.
    Working,
    /// Waits until `due`. The whole pause was counted on `account`. `number` tells apart queues that are
    /// due at the same time.
    Waiting {
        due: Instant,
        number: u64,
        account: Account,
    },
}

/// The messages of a queue; only the first is worked on.
#[derive(Debug)]
pub(super) struct KeyQueue {
    pub(super) items: VecDeque<Item>,
    pub(super) stage: Stage,
}
