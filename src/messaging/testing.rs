//! A bus in memory that fails at a chosen call, and a handler that does as it is told. Only the
//! faults that a real bus can't show on demand are played with it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{pending, ready};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::handler::{Handler, HandlerOutcome};
use super::key_queue::TopicPartition;
use crate::ports::bus::{
    Beside, Bus, BusError, Consumer, InMessage, OutMessage, Polled, PublishError, RawMessage,
    Subscription,
};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Commit,
    CommitHangs,
    LagHangs,
    Forward,
    Refuse,
}

#[derive(Default)]
struct State {
    waiting: Vec<InMessage>,
    revoked: Vec<TopicPartition>,
    next_offset: BTreeMap<TopicPartition, i64>,
    committed: BTreeMap<TopicPartition, i64>,
    forwarded: Vec<RawMessage>,
    failures: HashMap<Call, u32>,
    failed: HashMap<Call, u32>,
    /// Settled messages: what a commit may pass.
    settled: BTreeSet<(TopicPartition, i64)>,
}

/// The bus.
#[derive(Clone, Default)]
pub(super) struct Double {
    state: Arc<Mutex<State>>,
    news: Arc<Notify>,
}

impl Double {
    /// Puts a message on partition 0.
    pub(super) fn put(&self, topic: &str, key: &str, payload: &str) -> i64 {
        let mut state = self.state.lock();
        let next = state.next_offset.entry((topic.into(), 0)).or_default();
        let offset = *next;
        *next += 1;
        state.waiting.push(InMessage {
            topic: topic.into(),
            partition: 0,
            offset,
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            headers: BTreeMap::from([("x-own".into(), Bytes::from_static(b"\xff"))]),
            payload: Some(Bytes::copy_from_slice(payload.as_bytes())),
            timestamp_ms: 0,
        });
        drop(state);
        self.news.notify_one();
        offset
    }

    /// The next `times` calls of this kind fail.
    pub(super) fn fail(&self, call: Call, times: u32) {
        self.state.lock().failures.insert(call, times);
    }

    /// How often this kind has failed.
    pub(super) fn failed(&self, call: Call) -> u32 {
        self.state.lock().failed.get(&call).copied().unwrap_or(0)
    }

    /// Takes partition 0 of `topic` away, and gives it back from the committed offset.
    pub(super) fn revoke(&self, topic: &str) {
        self.state.lock().revoked.push((topic.into(), 0));
        self.news.notify_one();
    }

    /// The committed offset of partition 0.
    pub(super) fn committed(&self, topic: &str) -> i64 {
        let state = self.state.lock();
        state
            .committed
            .get(&(topic.into(), 0))
            .copied()
            .unwrap_or(0)
    }

    /// What was passed on.
    pub(super) fn forwarded(&self) -> Vec<RawMessage> {
        self.state.lock().forwarded.clone()
    }

    /// Messages of `topic` that are handled.
    pub(super) fn settled(&self, topic: &str) -> usize {
        let state = self.state.lock();
        let of_topic = state
            .settled
            .iter()
            .filter(|((name, _), _)| &**name == topic);
        of_topic.count()
    }

    /// A message is handled.
    pub(super) fn apply_answers(&self, message: &InMessage) {
        let partition = (Arc::clone(&message.topic), message.partition);
        self.state
            .lock()
            .settled
            .insert((partition, message.offset));
    }

    fn due_to_fail(&self, call: Call) -> bool {
        let mut state = self.state.lock();
        let left = state.failures.entry(call).or_default();
        if *left == 0 {
            return false;
        }
        *left -= 1;
        *state.failed.entry(call).or_default() += 1;
        true
    }
}

#[async_trait]
impl Bus for Double {
    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn forward(&self, message: RawMessage) -> Result<(), PublishError> {
        tokio::task::yield_now().await;
        if self.due_to_fail(Call::Forward) {
            return Err(PublishError::Unavailable("told to fail".into()));
        }
        if self.due_to_fail(Call::Refuse) {
            return Err(PublishError::Refused("told to refuse".into()));
        }
        let header = |name: &str| {
            let found = message.headers.iter().find(|(key, _)| key == name);
            String::from_utf8(found.unwrap().1.to_vec()).unwrap()
        };
        let partition = (
            header("dlq_topic").into(),
            header("dlq_partition").parse().unwrap(),
        );
        let offset = header("dlq_offset").parse().unwrap();
        let mut state = self.state.lock();
        state.settled.insert((partition, offset));
        state.forwarded.push(message);
        Ok(())
    }

    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(self.clone()))
    }

    async fn missing_topics(&self, _: &[Arc<str>]) -> Result<Vec<Arc<str>>, BusError> {
        Ok(Vec::new())
    }

    async fn create_topics(&self, _: &[Arc<str>]) -> Result<(), BusError> {
        Ok(())
    }

    async fn read(
        &self,
        _: &str,
        _: Option<(i32, i64)>,
        _: usize,
    ) -> Result<Vec<InMessage>, BusError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Consumer for Double {
    async fn poll(&mut self, _: usize, timeout: Duration) -> Result<Polled, BusError> {
        // Waiting is over at a signal or at the time-out; both lead to a look.
        let _ = tokio::time::timeout(timeout, self.news.notified()).await;
        let mut state = self.state.lock();
        let revoked = std::mem::take(&mut state.revoked);
        if !revoked.is_empty() {
            return Ok(Polled::Revoked(revoked));
        }
        Ok(Polled::Messages(std::mem::take(&mut state.waiting)))
    }

    fn commit(&mut self, next: &[(Arc<str>, i32, i64)]) -> Beside<()> {
        if self.due_to_fail(Call::CommitHangs) {
            return pending().boxed();
        }
        if self.due_to_fail(Call::Commit) {
            return ready(Err(BusError("told to fail".into()))).boxed();
        }
        let mut state = self.state.lock();
        for (topic, partition, offset) in next {
            let partition = (Arc::clone(topic), *partition);
            for earlier in 0..*offset {
                assert!(
                    state.settled.contains(&(partition.clone(), earlier)),
                    "offset {offset} of {topic} committed past unfinished {earlier}"
                );
            }
            state.committed.insert(partition, *offset);
        }
        ready(Ok(())).boxed()
    }

    async fn pause(&mut self, _: &[TopicPartition]) -> Result<(), BusError> {
        Ok(())
    }

    async fn resume(&mut self, _: &[TopicPartition]) -> Result<(), BusError> {
        Ok(())
    }

    fn lag(&mut self) -> Beside<BTreeMap<Arc<str>, u64>> {
        if self.due_to_fail(Call::LagHangs) {
            return pending().boxed();
        }
        ready(Ok(BTreeMap::new())).boxed()
    }

    async fn close(self: Box<Self>) {}
}

/// A handler that asks a closure, and remembers what it settled, in order.
pub(super) struct Told<F> {
    bus: Double,
    tell: F,
    settled: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

impl<F: Fn(&str, usize) -> HandlerOutcome> Told<F> {
    /// `tell` gets the payload and how often it has been asked about it, from 1.
    pub(super) fn new(bus: &Double, tell: F) -> Arc<Self> {
        Arc::new(Self {
            bus: bus.clone(),
            tell,
            settled: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Payloads that were done or dropped.
    pub(super) fn settled(&self) -> Vec<String> {
        self.settled.lock().clone()
    }

    /// Payloads in the order of calls.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

#[async_trait]
impl<F: Fn(&str, usize) -> HandlerOutcome + Send + Sync + 'static> Handler for Told<F> {
    async fn handle(&self, batch: &[Arc<InMessage>]) -> Vec<HandlerOutcome> {
        tokio::task::yield_now().await;
        let mut verdicts = Vec::new();
        for message in batch {
            let payload = String::from_utf8(message.payload.clone().unwrap().to_vec()).unwrap();
            let times = {
                let mut asked = self.asked.lock();
                asked.push(payload.clone());
                asked.iter().filter(|one| **one == payload).count()
            };
            let verdict = (self.tell)(&payload, times);
            if matches!(verdict, HandlerOutcome::Done | HandlerOutcome::Drop(_)) {
                self.bus.apply_answers(message);
                self.settled.lock().push(payload);
            }
            verdicts.push(verdict);
        }
        verdicts
    }
}
