//! Whether what a handler needs is away: several messages of different queues were failed by it and none
//! got through in between. One that fails alone is its own trouble, and stops nobody.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::key_queue::KeyQueueId;

/// Lanes that must have been failed in a row: more than one order in trouble, or a few of one shard,
/// fewer than a batch of the stock's.
const QUEUES_FAILED_MIN: usize = 8;

/// Between two tries while it is away: its return is noticed within a second.
const AWAY: Backoff = Backoff {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(1),
};

/// What the handler's answers say of it.
#[derive(Debug, Default)]
pub(super) struct Dependency {
    /// Lanes failed since something got through; at most [`QUEUES_FAILED_MIN`].
    failed: Vec<KeyQueueId>,
    passed: u64,
    away: Option<Away>,
}

#[derive(Clone, Copy, Debug)]
struct Away {
    tries: u32,
    until: Instant,
}

/// What an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is away: all handling pauses.
    Left,
    /// It is back.
    Returned,
}

impl Dependency {
    /// A message of `queue` could not be handled for want of it.
    pub(super) fn failed(&mut self, queue: &KeyQueueId, now: Instant) -> Option<Change> {
        if let Some(away) = &mut self.away {
            // Otherwise of a call that was under way when the pause began.
            if now >= away.until {
                away.tries += 1;
                away.until = now + AWAY.after(away.tries);
            }
            return None;
        }
        if !self.failed.contains(queue) {
            self.failed.push(queue.clone());
        }
        if self.failed.len() < QUEUES_FAILED_MIN {
            return None;
        }
        self.failed.clear();
        let until = now + AWAY.after(1);
        self.away = Some(Away { tries: 1, until });
        Some(Change::Left)
    }

    /// A message got through to it.
    pub(super) fn passed(&mut self, now: Instant) -> Option<Change> {
        self.passed += 1;
        self.failed.clear();
        // An answer during the pause is of a call that was under way before it.
        let is_back = self.away.is_some_and(|away| now >= away.until);
        is_back.then(|| {
            self.away = None;
            Change::Returned
        })
    }

    /// How many messages have got through so far.
    pub(super) fn passed_count(&self) -> u64 {
        self.passed
    }

    /// Whether all handling pauses.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// While it is away: when it may be tried again.
    pub(super) fn pause(&self) -> Option<Instant> {
        self.away.map(|away| away.until)
    }
}
