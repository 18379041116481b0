//! One member of a consumer group, with its position in each of its partitions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use thiserror::Error;
use tokio::time::Instant;

use super::super::db::Db;
use super::super::error::WriteError;
use super::assign::{Slot, Token};
use super::hub::{Hub, Partition, Turn};
use super::rows;
use crate::ports::bus::{Beside, BusError, Consumer, InMessage, Polled, Subscription};

/// A poll ends after this many bytes of values, so that a group that lags behind large messages can't
/// fill the memory; at least one message always comes.
const POLL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Another member of the same name has joined since.
#[derive(Debug, Error)]
#[error("another member has taken the name {0}")]
struct Replaced(Arc<str>);

/// A member of a group. Leaves it when dropped.
#[derive(Debug)]
pub(super) struct EmbeddedConsumer {
    db: Arc<Db>,
    hub: Arc<Hub>,
    subscription: Subscription,
    token: Token,
    /// The next offset to read of each partition that this member owns.
    positions: HashMap<Slot, i64>,
    /// The partitions of `positions` by topic and number.
    named: HashMap<(Arc<str>, i32), Slot>,
    paused: HashSet<Slot>,
    /// Rises with every fetch, so that no partition always comes first.
    turn: usize,
}

impl EmbeddedConsumer {
    pub(super) fn join(db: Arc<Db>, hub: Arc<Hub>, subscription: Subscription) -> Self {
        let token = hub.join(
            &subscription.group,
            Arc::clone(&subscription.member),
            subscription.topics.clone(),
        );
        Self {
            db,
            hub,
            subscription,
            token,
            positions: HashMap::new(),
            named: HashMap::new(),
            paused: HashSet::new(),
            turn: 0,
        }
    }

    /// The partitions of this member, each with a position; or the partitions that it has lost.
    async fn take_turn(&mut self) -> Result<Result<Vec<Partition>, Polled>, BusError> {
        match self.hub.turn(&self.subscription.group, self.token) {
            Turn::Owns(owned) => {
                self.learn(&owned).await?;
                Ok(Ok(owned))
            }
            Turn::Revoked(slots) => Ok(Err(self.forget(&slots.into_iter().collect()))),
            Turn::Replaced if self.positions.is_empty() => {
                let name = Arc::clone(&self.subscription.member);
                Err(BusError(Replaced(name).into()))
            }
            Turn::Replaced => {
                let all = self.positions.keys().copied().collect();
                Ok(Err(self.forget(&all)))
            }
        }
    }

    /// Starts new partitions at the committed offset, or at the beginning.
    async fn learn(&mut self, owned: &[Partition]) -> Result<(), BusError> {
        let new: Vec<&Partition> = owned
            .iter()
            .filter(|partition| !self.positions.contains_key(&partition.slot))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let slots: Vec<Slot> = new.iter().map(|partition| partition.slot).collect();
        let committed = rows::committed(&self.db.reads, &self.subscription.group, &slots)
            .await
            .map_err(|error| BusError(error.into()))?;
        let committed: HashMap<Slot, i64> = committed.into_iter().collect();
        for partition in new {
            let slot = partition.slot;
            let start = committed.get(&slot).copied().unwrap_or(0);
            self.positions.insert(slot, start);
            self.named
                .insert((Arc::clone(&partition.topic), partition.number), slot);
        }
        Ok(())
    }

    fn forget(&mut self, slots: &HashSet<Slot>) -> Polled {
        let gone = self.named.extract_if(|_, slot| slots.contains(slot));
        let gone = gone.map(|(name, _)| name).collect();
        self.positions.retain(|slot, _| !slots.contains(slot));
        self.paused.retain(|slot| !slots.contains(slot));
        Polled::Revoked(gone)
    }

    fn position(&self, partition: &Partition) -> i64 {
        let position = self.positions.get(&partition.slot).copied().unwrap_or(0);
        position.max(partition.first)
    }

    /// Fetches up to `max` messages of the partitions that have some. A call that is dropped half
    /// way has moved no position.
    async fn fetch(&mut self, owned: &[Partition], max: usize) -> Result<Vec<InMessage>, BusError> {
        let mut messages = Vec::new();
        let mut moved = Vec::new();
        let mut bytes_left = POLL_BYTES_MAX;
        self.turn = self.turn.wrapping_add(1);
        let (late, early) = owned.split_at(self.turn % owned.len().max(1));
        for partition in early.iter().chain(late) {
            let position = self.position(partition);
            let left = max.saturating_sub(messages.len());
            let idle = position >= partition.next || self.paused.contains(&partition.slot);
            if idle || left == 0 || bytes_left == 0 {
                continue;
            }
            let before = messages.len();
            let room = (left, bytes_left);
            let bytes = rows::fetch(&self.db.reads, partition, position, room, &mut messages)
                .await
                .map_err(|error| BusError(error.into()))?;
            bytes_left = bytes_left.saturating_sub(bytes);
            // An empty result means that retention has removed the messages: go on at the end.
            let last = messages.get(before..).and_then(<[_]>::last);
            moved.push((
                partition.slot,
                last.map_or(partition.next, |last| last.offset + 1),
            ));
        }
        self.positions.extend(moved);
        Ok(messages)
    }

    fn slots(&self, partitions: &[(Arc<str>, i32)]) -> Vec<Slot> {
        let known = partitions.iter().filter_map(|name| self.named.get(name));
        known.copied().collect()
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn poll(&mut self, max: usize, timeout: Duration) -> Result<Polled, BusError> {
        let until = Instant::now() + timeout;
        let hub = Arc::clone(&self.hub);
        loop {
            let mut changed = std::pin::pin!(hub.changed());
            changed.as_mut().enable();
            if self.db.closing.is_cancelled() {
                return Err(BusError(WriteError::Closed.into()));
            }
            let owned = match self.take_turn().await? {
                Ok(owned) => owned,
                Err(revoked) => return Ok(revoked),
            };
            let messages = self.fetch(&owned, max).await?;
            if !messages.is_empty() {
                return Ok(Polled::Messages(messages));
            }
            tokio::select! {
                () = changed => {}
                () = self.db.closing.cancelled() => {}
                () = tokio::time::sleep_until(until) => return Ok(Polled::Messages(Vec::new())),
            }
        }
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        // Offsets of revoked partitions are left for their new owner to commit.
        let offsets: Vec<(Slot, i64)> = next
            .iter()
            .filter_map(|(topic, number, offset)| {
                let slot = self.named.get(&(Arc::clone(topic), *number))?;
                Some((*slot, *offset))
            })
            .collect();
        if offsets.len() < next.len() {
            let group = &*self.subscription.group;
            tracing::warn!(group, "offsets of revoked partitions are not committed");
        }
        let (db, group) = (Arc::clone(&self.db), Arc::clone(&self.subscription.group));
        async move {
            if offsets.is_empty() {
                return Ok(());
            }
            let committed = db.writer.write_repeatable(move |conn| {
                async move { rows::commit(conn, &group, &offsets).await }.boxed()
            });
            committed.await.map_err(|error| BusError(error.into()))
        }
        .boxed()
    }

    async fn pause(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        let slots = self.slots(partitions);
        self.paused.extend(slots);
        Ok(())
    }

    async fn resume(&mut self, partitions: &[(Arc<str>, i32)]) -> Result<(), BusError> {
        for slot in self.slots(partitions) {
            self.paused.remove(&slot);
        }
        Ok(())
    }

    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>> {
        let owned = self.hub.owned(&self.subscription.group, self.token);
        let (db, group) = (Arc::clone(&self.db), Arc::clone(&self.subscription.group));
        let mut positions: HashMap<Slot, i64> = owned
            .iter()
            .filter_map(|Partition { slot, .. }| Some((*slot, *self.positions.get(slot)?)))
            .collect();
        let topics = self.subscription.topics.iter();
        let mut lag: BTreeMap<Arc<str>, u64> = topics.map(|topic| (Arc::clone(topic), 0)).collect();
        async move {
            let slots = owned.iter().map(|partition| partition.slot);
            let new: Vec<Slot> = slots.filter(|slot| !positions.contains_key(slot)).collect();
            if !new.is_empty() {
                let committed = rows::committed(&db.reads, &group, &new).await;
                positions.extend(committed.map_err(|error| BusError(error.into()))?);
            }
            for partition in &owned {
                let position = positions.get(&partition.slot).copied().unwrap_or(0);
                let behind = partition.next - position.max(partition.first);
                *lag.entry(Arc::clone(&partition.topic)).or_default() +=
                    u64::try_from(behind).unwrap_or(0);
            }
            Ok(lag)
        }
        .boxed()
    }

    async fn close(self: Box<Self>) {
        // Dropping the consumer leaves the group.
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.hub.leave(&self.subscription.group, self.token);
    }
}
