//! The way of a request for stock and of its answer over the bus. It tells whether an order whose deadline
//! has passed may still be answered, because a consumer group on the way is behind. It compares offsets,
//! never clocks. The domain decides what follows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::{Instant, timeout};
use trackops_domain::command::HeldUp;
use trackops_domain::ids::OrderId;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use crate::model::topic::Topic;
use crate::ports::bus::BusError;
use crate::ports::groups::{GroupProgress, Groups};
use crate::ports::journal::Due;

/// How long all questions of a round may take, because the scanner waits for them.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// A group that hasn't passed an order's message after so long is behind. Offsets are committed within a
/// second, marks within a few.
const PATIENCE: Duration = Duration::from_secs(10);

/// The consumer groups that the requests and their answers pass.
#[derive(Clone)]
pub struct SagaRoute {
    /// Reads the progress of the bus's groups.
    pub groups: Arc<dyn Groups>,
    /// The group that reads the requests.
    pub inventory: &'static str,
    /// The group whose marks say up to which request the replies have left inventory's outbox.
    pub replied: &'static str,
    /// The group that reads the replies.
    pub orders: &'static str,
}

/// What an order waits for.
#[derive(Clone, Copy)]
struct Awaited {
    request: Topic,
    replies: &'static [Topic],
}

const RESERVATION: Awaited = Awaited {
    request: Topic::OrderCreated,
    replies: &[Topic::InventoryReserved, Topic::InventoryReservationFailed],
};

const RELEASE: Awaited = Awaited {
    request: Topic::OrderCancelled,
    replies: &[Topic::InventoryReleased],
};

/// How far every group had come at one moment.
pub(super) struct Seen {
    requests: GroupProgress,
    replied: GroupProgress,
    replies: GroupProgress,
}

/// The due orders that were left as they were, each with what must be passed before it is judged.
#[derive(Default)]
pub(super) struct Waits(HashMap<OrderId, Wait>);

struct Wait {
    deadline: Timestamp,
    since: Instant,
    next: Next,
}

/// What must be passed next.
enum Next {
    /// Nothing is known yet: the groups' progress couldn't be read so far.
    Look,
    /// The request, which is below this offset.
    Request(i64),
    /// The replies, each of which is below the offset of its topic.
    Replies(SmallVec<[i64; 2]>),
    /// Nothing more.
    Passed,
}

impl SagaRoute {
    /// Reads the progress of all groups, in the order in which an order's messages pass them. `None` if the
    /// bus doesn't answer.
    pub(super) async fn look(&self) -> Option<Seen> {
        match timeout(ASK_TIMEOUT, self.ask()).await {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the way of the requests for stock can't be seen");
                None
            }
            Err(_) => None,
        }
    }

    async fn ask(&self) -> Result<Seen, BusError> {
        let both = [RESERVATION, RELEASE];
        let requests: Vec<Arc<str>> = both.iter().map(|of| of.request.as_str().into()).collect();
        let replies = both.iter().flat_map(|of| of.replies);
        let replies: Vec<Arc<str>> = replies.map(|topic| topic.as_str().into()).collect();
        Ok(Seen {
            requests: self.groups.progress(self.inventory, &requests).await?,
            replied: self.groups.progress(self.replied, &requests).await?,
            replies: self.groups.progress(self.orders, &replies).await?,
        })
    }
}

impl Waits {
    /// Picks those of `due`, all of one round, that are to be woken, and says of each what holds it up. The
    /// others are left as they are until a later round. `seen` was read after `due` was.
    pub(super) fn judge(
        &mut self,
        route: &SagaRoute,
        due: Vec<Due>,
        seen: Option<&Seen>,
    ) -> Vec<(Due, HeldUp)> {
        let mut before = std::mem::take(&mut self.0);
        let now = Instant::now();
        let mut woken = Vec::new();
        for due in due {
            if due.request_unsent {
                woken.push((due, HeldUp::Unsent));
                continue;
            }
            let known = before.remove(&due.order);
            let mut wait = known
                .filter(|wait| wait.deadline == due.deadline)
                .unwrap_or(Wait {
                    deadline: due.deadline,
                    since: now,
                    next: Next::Look,
                });
            if let Some(seen) = seen {
                wait.next = advance(route, seen, &due, wait.next);
            }
            if matches!(wait.next, Next::Passed) {
                woken.push((due, HeldUp::Not));
            } else if now.duration_since(wait.since) >= PATIENCE {
                woken.push((due, HeldUp::Behind));
            } else {
                self.0.insert(due.order, wait);
            }
        }
        woken
    }
}

/// What is still to be passed after `seen`.
fn advance(route: &SagaRoute, seen: &Seen, due: &Due, mut next: Next) -> Next {
    let awaited = match due.status {
        Status::Cancelled => RELEASE,
        _ => RESERVATION,
    };
    let progress = |of: &GroupProgress, topic: Topic| {
        let partitions = of.get(topic.as_str())?;
        let key = due.order.to_string();
        let number = route.groups.partition_of(&key, partitions.len());
        partitions.get(number).copied()
    };
    let end =
        |of: &GroupProgress, topic| progress(of, topic).map_or(i64::MAX, |progress| progress.end);
    let has_passed = |of: &GroupProgress, topic, offset: i64| {
        progress(of, topic).is_some_and(|progress| progress.committed.unwrap_or(0) >= offset)
    };
    if matches!(next, Next::Look) {
        next = Next::Request(end(&seen.requests, awaited.request));
    }
    if let Next::Request(offset) = next {
        // An inventory of an older version sets no marks.
        let is_marked = |partitions: &Vec<_>| {
            let mut partitions = partitions.iter();
            partitions.any(|progress: &crate::ports::groups::Progress| progress.committed.is_some())
        };
        let has_marks = seen.replied.values().any(is_marked);
        let is_read = has_passed(&seen.requests, awaited.request, offset);
        if is_read && (!has_marks || has_passed(&seen.replied, awaited.request, offset)) {
            let ends = awaited.replies.iter().map(|t| end(&seen.replies, *t));
            next = Next::Replies(ends.collect());
        }
    }
    if let Next::Replies(offsets) = &next {
        let mut all = awaited.replies.iter().zip(offsets);
        if all.all(|(topic, offset)| has_passed(&seen.replies, *topic, *offset)) {
            next = Next::Passed;
        }
    }
    next
}

#[cfg(test)]
#[path = "saga_route_tests.rs"]
mod tests;
