//! A lane: messages of one key in one partition, handled one after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::handler::Reason;
use crate::ports::bus::InMessage;

/// A topic and a partition.
pub(super) type Place = (Arc<str>, i32);

/// Which lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneId {
    pub(super) place: Place,
    pub(super) key: LaneKey,
}

/// What its messages have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LaneKey {
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
            parking: None,
        }
    }
}

/// What the first message of a lane is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In a queue to be handled or parked.
    Ready,
    /// Being handled or parked.
    Working,
    /// Until its time comes; the number tells apart lanes that are due at once.
    Waiting { due: Instant, number: u64 },
}

/// The messages, the first of which is at work.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) items: VecDeque<Item>,
    pub(super) stage: Stage,
}
