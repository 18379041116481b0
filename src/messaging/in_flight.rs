//! The messages that one consumer has in hand: their key queues, which of them are being worked on, and
//! their retries. Pure bookkeeping: it knows no bus and no handler, and time comes in as an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;

use super::handler::Reason;
use super::key_queue::{Account, Item, KeyQueue, KeyQueueId, QueueKey, Stage, TopicPartition};
use super::partitions::Partitions;
use crate::ports::bus::InMessage;

/// The pause between two attempts at one message. It is short at first, because the message usually waits
/// for an event that is in flight.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// A message that was given out to be handled or parked.
#[derive(Clone, Debug)]
pub(super) struct DispatchedMessage {
    pub(super) queue: KeyQueueId,
    pub(super) message: Arc<InMessage>,
    generation: u64,
}

/// All messages in hand.
#[derive(Debug, Default)]
pub(super) struct InFlightMessages {
    pub(super) partitions: Partitions,
    queues: HashMap<KeyQueueId, KeyQueue>,
    /// Key queues whose first message is to be handled, in order of arrival.
    to_handle: VecDeque<KeyQueueId>,
    /// Key queues whose first message is to be parked.
    to_park: VecDeque<KeyQueueId>,
    waiting: BTreeMap<(Instant, u64), KeyQueueId>,
    /// Waiting queues by key. A queue may wait for the progress of another queue with the same key.
    waiting_keys: HashMap<QueueKey, SmallVec<[KeyQueueId; 1]>>,
    numbers: u64,
}

impl InFlightMessages {
    /// Adds polled messages. `queue` gives the key queue of each.
    pub(super) fn absorb(
        &mut self,
        messages: Vec<InMessage>,
        queue: impl Fn(&InMessage) -> QueueKey,
    ) {
        for message in messages {
            let partition = (Arc::clone(&message.topic), message.partition);
            if !self.partitions.read(&partition, &message) {
                continue;
            }
            let key = queue(&message);
            let id = KeyQueueId { partition, key };
            let item = Item::new(message);
            if let Some(queue) = self.queues.get_mut(&id) {
                queue.items.push_back(item);
            } else {
                let queue = KeyQueue {
                    items: VecDeque::from([item]),
                    stage: Stage::Ready,
                };
                self.queues.insert(id.clone(), queue);
                self.to_handle.push_back(id);
            }
        }
    }

    /// Forgets these partitions. Results of their messages in flight are ignored.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.partitions.revoke(partitions);
        let gone: Vec<KeyQueueId> = self
            .queues
            .keys()
            .filter(|id| partitions.contains(&id.partition))
            .cloned()
            .collect();
        for id in &gone {
            self.stop_waiting(id);
            self.queues.remove(id);
        }
        // One pass each: a queue may hold thousands.
        self.to_handle
            .retain(|id| !partitions.contains(&id.partition));
        self.to_park
            .retain(|id| !partitions.contains(&id.partition));
    }

    /// Up to `max` messages for one call of the handler, each of another queue, the oldest first. Fewer
    /// if one of them was in a larger call that failed.
    pub(super) fn take(&mut self, max: usize) -> Vec<DispatchedMessage> {
        let mut dispatched = Vec::new();
        let mut max = max;
        while dispatched.len() < max
            && let Some(id) = self.to_handle.front()
        {
            let queue = self.queues.get(id);
            let item = queue.and_then(|queue| queue.items.front());
            let own_max = item.map_or(max, |item| item.together_max);
            if !dispatched.is_empty() && own_max <= dispatched.len() {
                break;
            }
            max = max.min(own_max);
            if let Some(id) = self.to_handle.pop_front() {
                dispatched.extend(self.start(id).map(|(ticket, _)| ticket));
            }
        }
        dispatched
    }

    /// Takes a message to park, with the reason.
    pub(super) fn take_parking(&mut self) -> Option<(DispatchedMessage, Reason)> {
        let id = self.to_park.pop_front()?;
        let (ticket, reason) = self.start(id)?;
        Some((ticket, reason?))
    }

    /// Makes the waiting queues ready that are due.
    pub(super) fn wake_due(&mut self, now: Instant) {
        while let Some((&(due, _), id)) = self.waiting.first_key_value()
            && due <= now
        {
            let id = id.clone();
            self.wake(&id, now);
        }
    }

    /// When the next waiting queue is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// The message's effects are durable, or it is parked. Its queue goes on, and waiting queues with the
    /// same key in other partitions are tried at once.
    pub(super) fn finish(&mut self, ticket: &DispatchedMessage, now: Instant) {
        if !self.is_current(ticket) {
            return;
        }
        self.partitions
            .finish(&ticket.queue.partition, &ticket.message);
        if let Some(queue) = self.queues.get_mut(&ticket.queue) {
            queue.items.pop_front();
            if queue.items.is_empty() {
                self.queues.remove(&ticket.queue);
            } else {
                queue.stage = Stage::Ready;
                self.to_handle.push_back(ticket.queue.clone());
            }
        }
        if let Some(neighbours) = self.waiting_keys.get(&ticket.queue.key) {
            for id in neighbours.clone() {
                self.wake(&id, now);
            }
        }
    }

    /// Tries the message again later. Parks it with `reason` once it has waited in total for the limit of
    /// `wait`.
    pub(super) fn retry(
        &mut self,
        ticket: &DispatchedMessage,
        reason: Reason,
        wait: Wait,
        now: Instant,
    ) {
        let Some(item) = self.item(ticket) else {
            return;
        };
        item.failures += 1;
        let pause = RETRY.after(item.failures);
        let (account, limit) = match wait {
            Wait::Retry(limit) => (Account::Retried, limit),
            Wait::Busy(limit) => (Account::KeptBusy, limit),
            Wait::Free => (Account::Nobodys, Duration::MAX),
        };
        if let Some(waited) = item.waited(account) {
            if *waited >= limit {
                self.park(ticket, reason);
                return;
            }
            *waited += pause;
        }
        self.wait(&ticket.queue, now + pause, account);
    }

    /// A call of the handler that included it failed as a whole. From now on a call that includes it has
    /// at most `max` messages.
    pub(super) fn part(&mut self, ticket: &DispatchedMessage, max: usize) {
        if let Some(item) = self.item(ticket) {
            item.together_max = max.max(1);
        }
    }

    /// The message has blocked others for `time`.
    pub(super) fn charge_busy(&mut self, ticket: &DispatchedMessage, time: Duration) {
        if let Some(item) = self.item(ticket) {
            item.kept_busy += time;
        }
    }

    /// A dependency failed the message when `passed` messages had got through. Returns whether any got
    /// through since the dependency last failed this message: then the message itself is at fault.
    pub(super) fn let_down(&mut self, ticket: &DispatchedMessage, passed: u64) -> bool {
        let Some(item) = self.item(ticket) else {
            return false;
        };
        let before = item.let_down_at.replace(passed);
        before.is_some_and(|before| before != passed)
    }

    /// Makes the message ready to be parked.
    pub(super) fn park(&mut self, ticket: &DispatchedMessage, reason: Reason) {
        let Some(item) = self.item(ticket) else {
            return;
        };
        item.parking = Some(reason);
        self.ready(&ticket.queue);
    }

    /// Parking failed. It is tried again for as long as it takes.
    pub(super) fn park_again(&mut self, ticket: &DispatchedMessage, now: Instant) {
        if let Some(item) = self.item(ticket) {
            item.failures += 1;
            let pause = RETRY.after(item.failures);
            self.wait(&ticket.queue, now + pause, Account::Nobodys);
        }
    }

    /// Makes the message ready again as if it had not been tried, because it isn't at fault. Its queue
    /// goes behind the others, so that one queue in trouble isn't always tried first.
    pub(super) fn put_back(&mut self, ticket: &DispatchedMessage) {
        if self.is_current(ticket) {
            self.ready(&ticket.queue);
        }
    }

    fn start(&mut self, id: KeyQueueId) -> Option<(DispatchedMessage, Option<Reason>)> {
        let generation = self.partitions.generation(&id.partition)?;
        let queue = self.queues.get_mut(&id)?;
        let item = queue.items.front()?;
        queue.stage = Stage::Working;
        let reason = item.parking.clone();
        let message = Arc::clone(&item.message);
        let ticket = DispatchedMessage {
            queue: id,
            message,
            generation,
        };
        Some((ticket, reason))
    }

    fn is_current(&self, ticket: &DispatchedMessage) -> bool {
        self.partitions.generation(&ticket.queue.partition) == Some(ticket.generation)
    }

    fn item(&mut self, ticket: &DispatchedMessage) -> Option<&mut Item> {
        if !self.is_current(ticket) {
            return None;
        }
        self.queues.get_mut(&ticket.queue)?.items.front_mut()
    }

    fn ready(&mut self, id: &KeyQueueId) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        queue.stage = Stage::Ready;
        let parking = queue
            .items
            .front()
            .is_some_and(|item| item.parking.is_some());
        if parking {
            self.to_park.push_back(id.clone());
        } else {
            self.to_handle.push_back(id.clone());
        }
    }

    fn wait(&mut self, id: &KeyQueueId, due: Instant, account: Account) {
        let Some(queue) = self.queues.get_mut(id) else {
            return;
        };
        self.numbers += 1;
        let number = self.numbers;
        queue.stage = Stage::Waiting {
            due,
            number,
            account,
        };
        self.waiting.insert((due, number), id.clone());
        self.waiting_keys
            .entry(id.key.clone())
            .or_default()
            .push(id.clone());
    }

    fn wake(&mut self, id: &KeyQueueId, now: Instant) {
        self.stop_waiting(id);
        if let Some(queue) = self.queues.get_mut(id)
            && let Stage::Waiting { due, account, .. } = queue.stage
            && let Some(item) = queue.items.front_mut()
            && let Some(waited) = item.waited(account)
        {
            // If it wakes early, it has waited less than was counted.
            let left = due.saturating_duration_since(now);
            *waited = waited.saturating_sub(left);
        }
        self.ready(id);
    }

    fn stop_waiting(&mut self, id: &KeyQueueId) {
        let Some(KeyQueue {
            stage: Stage::Waiting { due, number, .. },
            ..
        }) = self.queues.get(id)
        else {
            return;
        };
        self.waiting.remove(&(*due, *number));
        if let Some(ids) = self.waiting_keys.get_mut(&id.key) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.waiting_keys.remove(&id.key);
            }
        }
    }
}

/// How long a message is tried again, and which limit its waiting counts against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// The message came too early.
    Retry(Duration),
    /// The handler, or the order's owner, is busy.
    Busy(Duration),
    /// The wait counts against no limit.
    Free,
}
