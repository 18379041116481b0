//! A circuit breaker for the dependency of a handler. The dependency counts as away when it has failed
//! messages of several queues and none got through in between. A message that fails alone is at fault
//! itself and doesn't stop the others.

use std::time::Duration;

use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;

use super::key_queue::KeyQueueId;

/// How many queues must have failed in a row: more than a single order or a few of one shard, but fewer
/// than one batch of stock requests.
const QUEUES_FAILED_MIN: usize = 8;

/// The pause between two tries while it is away. Its return is noticed within a second.
const AWAY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// The state of the dependency, by the handler's outcomes.
#[derive(Debug, Default)]
pub(super) struct Dependency {
    /// Queues that have failed since a message last got through; at most [`QUEUES_FAILED_MIN`].
    failed: Vec<KeyQueueId>,
    passed: u64,
    away: Option<Away>,
}

#[derive(Clone, Copy, Debug)]
struct Away {
    tries: u32,
    until: Instant,
}

/// How an outcome changed the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is away: all handling pauses.
    Left,
    /// It is back.
    Returned,
}

impl Dependency {
    /// Notes that the dependency failed a message of `queue`.
    pub(super) fn failed(&mut self, queue: &KeyQueueId, now: Instant) -> Option<Change> {
        if let Some(away) = &mut self.away {
            // An earlier failure is of a call that was in flight when the pause began.
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

    /// Notes that a message got through.
    pub(super) fn passed(&mut self, now: Instant) -> Option<Change> {
        self.passed += 1;
        self.failed.clear();
        // An outcome during the pause is of a call that was in flight before it.
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

    /// When the dependency may be tried again, while it is away.
    pub(super) fn pause(&self) -> Option<Instant> {
        self.away.map(|away| away.until)
    }
}
