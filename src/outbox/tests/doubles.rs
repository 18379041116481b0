//! An outbox and a bus in memory that fail as they are told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;

use crate::model::outbox_row::{OutboxEntry, OutboxRow, RowId};
use crate::model::topic::Topic;
use crate::ports::bus::{
    Bus, BusError, Consumer, InMessage, OutMessage, PublishError, RawMessage, Subscription, Told,
};
use crate::ports::outbox::{
    Fetched, OUTBOX_LANES, Outbox, OutboxError, OutboxLanePosition, OutboxStats, UNKNOWN_TOPIC,
    UnreadableRow, Wanted,
};

pub fn order() -> OrderId {
    OrderId(uuid::Uuid::now_v7())
}

/// The outbox.
pub struct Store {
    name: &'static str,
    rows: Mutex<BTreeMap<i64, OutboxEntry>>,
    leases: Mutex<HashMap<u16, (String, Instant)>>,
    signal: Notify,
    next: AtomicU64,
    calls: AtomicU64,
    fail_every: AtomicU64,
    refuse_leases: AtomicBool,
    unreadable: Mutex<HashSet<OrderId>>,
    aside: Mutex<Vec<OutboxEntry>>,
}

impl Store {
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            rows: Mutex::default(),
            leases: Mutex::default(),
            signal: Notify::new(),
            next: AtomicU64::new(1),
            calls: AtomicU64::new(0),
            fail_every: AtomicU64::new(u64::MAX),
            refuse_leases: AtomicBool::new(false),
            unreadable: Mutex::default(),
            aside: Mutex::default(),
        })
    }

    /// Every `n`-th exchange fails; the removal may have happened all the same.
    pub fn fail_every(&self, n: u64) {
        self.fail_every.store(n, Ordering::SeqCst);
    }

    pub fn refuse_leases(&self, refuse: bool) {
        self.refuse_leases.store(refuse, Ordering::SeqCst);
    }

    pub fn insert(&self, order: OrderId, version: u32, ordinals: &[u16]) {
        let mut rows = self.rows.lock();
        for &ordinal in ordinals {
            let seq = i64::try_from(self.next.fetch_add(1, Ordering::SeqCst)).expect("few");
            let topic = match (version, ordinal) {
                (1, _) => Topic::OrderCreated,
                (_, 0) => Topic::OrderStatusUpdated,
                _ => Topic::OrderDelivered,
            };
            let row = OutboxRow {
                id: MessageId(uuid::Uuid::now_v7()),
                topic,
                version,
                ordinal,
                at: Timestamp(0),
                payload: Bytes::from_static(b"{}"),
                traceparent: None,
            };
            let lane = u16::from(order.0.as_bytes()[15]) % OUTBOX_LANES;
            let row_id = RowId { lane, seq };
            rows.insert(seq, OutboxEntry { row_id, order, row });
        }
        self.signal.notify_one();
    }

    /// Rows of these orders can't be read.
    pub fn unreadable(&self, orders: &[OrderId]) {
        *self.unreadable.lock() = orders.iter().copied().collect();
    }

    /// Gives the lanes to another holder, as if the lease had ended unnoticed.
    pub fn seize(&self, lanes: &[u16], holder: &str) {
        let until = Instant::now() + Duration::from_secs(5);
        let mut leases = self.leases.lock();
        for lane in lanes {
            leases.insert(*lane, (holder.to_owned(), until));
        }
    }

    pub fn len(&self) -> usize {
        self.rows.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn holders(&self) -> Vec<String> {
        let leases = self.leases.lock();
        leases.values().map(|(holder, _)| holder.clone()).collect()
    }

    fn fails(&self) -> bool {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        n.is_multiple_of(self.fail_every.load(Ordering::SeqCst))
    }
}

fn away() -> OutboxError {
    OutboxError("double".into())
}

#[async_trait]
impl Outbox for Store {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError> {
        if self.refuse_leases.load(Ordering::SeqCst) {
            return Err(away());
        }
        let now = Instant::now();
        let mut leases = self.leases.lock();
        leases.retain(|_, (_, until)| *until > now);
        let others = leases.values().any(|(other, _)| other != holder);
        let share = if others {
            OUTBOX_LANES / 2
        } else {
            OUTBOX_LANES
        };
        let mut held = Vec::new();
        for lane in 0..OUTBOX_LANES {
            let mine = leases.get(&lane).is_none_or(|(other, _)| other == holder);
            if mine && held.len() < usize::from(share) {
                leases.insert(lane, (holder.to_owned(), now + ttl));
                held.push(lane);
            } else if mine {
                leases.remove(&lane);
            }
        }
        Ok(held)
    }

    async fn release(&self, holder: &str) -> Result<(), OutboxError> {
        self.leases.lock().retain(|_, (other, _)| other != holder);
        Ok(())
    }

    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError> {
        let fails = self.fails();
        let mut rows = self.rows.lock();
        if !fails || removed.len().is_multiple_of(2) {
            rows.retain(|seq, _| removed.iter().all(|row| row.seq != *seq));
        }
        if fails {
            return Err(away());
        }
        let bad = self.unreadable.lock();
        let mut fetched = Fetched::default();
        for from in &wanted.lanes {
            let of_lane = rows
                .values()
                .filter(|entry| entry.row_id.lane == from.lane && entry.row_id.seq > from.after)
                .filter(|entry| !wanted.except.contains(&entry.row_id))
                .take(wanted.rows_max as usize / wanted.lanes.len() + 1);
            let before = fetched.rows.len();
            fetched.rows.extend(of_lane.map(|entry| {
                if bad.contains(&entry.order) {
                    return Err(UnreadableRow {
                        row_id: entry.row_id,
                        reason: UNKNOWN_TOPIC.to_owned(),
                    });
                }
                Ok(entry.clone())
            }));
            let last = fetched.rows[before..].iter().map(|row| match row {
                Ok(entry) => entry.row_id.seq,
                Err(unreadable) => unreadable.row_id.seq,
            });
            fetched.next.push(OutboxLanePosition {
                lane: from.lane,
                after: last.max().unwrap_or(from.after),
            });
        }
        Ok(fetched)
    }

    async fn set_aside(&self, rows: &[UnreadableRow]) -> Result<(), OutboxError> {
        let mut left = self.rows.lock();
        for row in rows {
            let moved = left.remove(&row.row_id.seq);
            self.aside.lock().extend(moved);
        }
        Ok(())
    }

    async fn take_back(&self, _: &[u16]) -> Result<u64, OutboxError> {
        let mut aside = self.aside.lock();
        let bad = self.unreadable.lock();
        let (back, stay): (Vec<_>, Vec<_>) = aside
            .drain(..)
            .partition(|entry| !bad.contains(&entry.order));
        *aside = stay;
        let count = back.len() as u64;
        for mut entry in back {
            let seq = i64::try_from(self.next.fetch_add(1, Ordering::SeqCst)).expect("few");
            entry.row_id.seq = seq;
            self.rows.lock().insert(seq, entry);
        }
        Ok(count)
    }

    async fn wait(&self, limit: Duration) {
        let _ = timeout(limit, self.signal.notified()).await;
    }

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        Ok(OutboxStats {
            pending: self.len() as u64,
            oldest_age: None,
            set_aside: self.aside.lock().len() as u64,
        })
    }
}

/// The fate of a message.
#[derive(Clone, Copy)]
pub enum Answer {
    Taken,
    /// Not written, and said so.
    Lost,
    /// Written, and said not to be.
    AckLost,
    Refused,
}

/// A message as the bus has it.
#[derive(Clone)]
pub struct Seen {
    pub topic: String,
    pub key: String,
    pub version: u32,
    headers: Vec<(&'static str, String)>,
}

impl Seen {
    pub fn is_dead_letter(&self) -> bool {
        self.header("dlq_topic").is_some()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }
}

type Decide = Box<dyn Fn(u64, &Seen) -> Answer + Send + Sync>;

/// The bus.
pub struct Log {
    seen: Mutex<Vec<Seen>>,
    decide: Decide,
    takes: Mutex<Duration>,
    stuck: Mutex<HashSet<String>>,
    batches: Mutex<usize>,
    /// Messages offered.
    pub calls: AtomicU64,
}

impl Log {
    pub fn new(decide: impl Fn(u64, &Seen) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            decide: Box::new(decide),
            takes: Mutex::new(Duration::from_millis(3)),
            stuck: Mutex::default(),
            batches: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    }

    pub fn take_time(&self, time: Duration) {
        *self.takes.lock() = time;
    }

    /// The partitions of these orders have no leader.
    pub fn stick(&self, orders: &[OrderId]) {
        *self.stuck.lock() = orders.iter().map(ToString::to_string).collect();
    }

    /// How often something was published.
    pub fn batches(&self) -> usize {
        *self.batches.lock()
    }

    pub fn len(&self) -> usize {
        self.seen.lock().len()
    }

    /// `topic/version` of everything about `order`.
    pub fn of(&self, order: OrderId) -> Vec<String> {
        let (seen, key) = (self.seen.lock(), order.to_string());
        let of_order = seen.iter().filter(|message| message.key == key);
        of_order
            .map(|m| format!("{}/{}", m.topic, m.version))
            .collect()
    }

    pub fn dead_letter(&self, order: OrderId) -> Seen {
        let (seen, key) = (self.seen.lock(), order.to_string());
        let mut letters = seen.iter().filter(|m| m.key == key && m.is_dead_letter());
        letters.next().cloned().expect("a dead letter")
    }

    /// Each order's first occurrences: versions 1 to `versions`, two messages each, in order.
    pub fn check(&self, orders: &[OrderId], versions: u32) {
        let seen = self.seen.lock();
        let mut firsts = HashMap::<&str, Vec<(&str, &Seen)>>::new();
        for message in &*seen {
            let of_order = firsts.entry(&message.key).or_default();
            let id = message.header("ce_id").expect("an id");
            if of_order.iter().all(|(known, _)| *known != id) {
                of_order.push((id, message));
            }
        }
        for order in orders {
            let of_order = &firsts[order.to_string().as_str()];
            let got = of_order.iter().map(|(_, m)| (m.version, m.topic.as_str()));
            let mut got: Vec<_> = got.collect();
            // Those of one version may come in any order.
            assert!(got.is_sorted_by_key(|(version, _)| *version), "{got:?}");
            let expected = (1..=versions).flat_map(|version| match version {
                1 => [(1, "ORDER_CREATED"); 2],
                _ => [
                    (version, "ORDER_DELIVERED"),
                    (version, "ORDER_STATUS_UPDATED"),
                ],
            });
            got.sort_unstable();
            assert_eq!(got, expected.collect::<Vec<_>>());
        }
    }
}

#[async_trait]
impl Bus for Log {
    /// Messages of a partition without a leader are told of when it has one again.
    async fn publish_each(
        &self,
        messages: Vec<OutMessage>,
        told: &(dyn Fn(Vec<Told>) + Send + Sync),
    ) {
        let is_stuck = |message: &OutMessage| self.stuck.lock().contains(&message.key.to_string());
        let (stuck, rest): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .enumerate()
            .partition(|(_, message)| is_stuck(message));
        for part in [rest, stuck] {
            let (places, part): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            while part.iter().any(is_stuck) {
                sleep(Duration::from_millis(10)).await;
            }
            if !part.is_empty() {
                *self.batches.lock() += 1;
                let results = self.publish(part).await;
                told(places.into_iter().zip(results).collect());
            }
        }
    }

    async fn forward(&self, _: RawMessage) -> Result<(), PublishError> {
        Err(PublishError::Refused("the relay forwards nothing".into()))
    }

    async fn publish(&self, messages: Vec<OutMessage>) -> Vec<Result<(), PublishError>> {
        let takes = *self.takes.lock();
        let mut results = Vec::new();
        for message in messages {
            let n = self.calls.fetch_add(1, Ordering::SeqCst);
            let header = |name| message.headers.iter().find(|(n, _)| *n == name);
            let version = header("ce_orderversion").expect("a version").1.parse();
            let seen = Seen {
                topic: message.topic.to_string(),
                key: message.key.to_string(),
                version: version.expect("a number"),
                headers: message.headers.clone(),
            };
            let answer = (self.decide)(n, &seen);
            if matches!(answer, Answer::Taken | Answer::AckLost) {
                self.seen.lock().push(seen);
            }
            results.push(match answer {
                Answer::Taken => Ok(()),
                Answer::Lost | Answer::AckLost => Err(PublishError::Unavailable("double".into())),
                Answer::Refused => Err(PublishError::Refused("too large".into())),
            });
        }
        sleep(takes).await;
        results
    }

    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError("a relay only publishes".into()))
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
