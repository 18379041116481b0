//! A node's way to what it shares with the others: journal, membership, cache. Each call takes time,
//! may be lost on its way there or back, and happens even if nobody waits for it any more.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::passes;
use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::model::position::Position;
use trackops::ports::cache::{Cache, CacheEntry, CacheError};
use trackops::ports::clock::Clock;
use trackops::ports::journal::{
    AppendError, AppendRow, Due, Journal, JournalError, ListFilter, RowOutcome,
};
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::dice::Dice;
use super::gate::Gate;
use crate::doubles::journal::MemoryJournal;

/// One way of one node to one server.
pub struct Line {
    gate: Arc<Gate>,
    dice: Mutex<Dice>,
    cut: AtomicBool,
    trouble_per_mille: AtomicU64,
    slowest_ms: AtomicU64,
}

/// Why a call came to nothing.
pub enum Lost {
    /// It doesn't happen.
    Unsent,
    /// Nobody knows whether it has happened or will.
    Unknown,
}

impl Line {
    pub fn new(gate: &Arc<Gate>, dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::clone(gate),
            dice: Mutex::new(dice),
            cut: AtomicBool::new(false),
            trouble_per_mille: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(3),
        })
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    pub fn trouble(&self, per_mille: u64, slowest_ms: u64) {
        self.trouble_per_mille.store(per_mille, Ordering::SeqCst);
        self.slowest_ms.store(slowest_ms, Ordering::SeqCst);
    }

    pub async fn pass(&self) {
        self.gate.pass().await;
    }

    /// Has `work` done at the other end.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Lost> {
        self.gate.pass().await;
        let (there, back, trouble, kind) = {
            let mut dice = self.dice.lock();
            let slowest = self.slowest_ms.load(Ordering::SeqCst);
            let per_mille = self.trouble_per_mille.load(Ordering::SeqCst);
            let (there, back) = (dice.millis(0, slowest), dice.millis(0, slowest));
            (there, back, dice.chance(per_mille), dice.below(4))
        };
        if self.is_cut() || (trouble && kind == 0) {
            passes(back).await;
            self.gate.pass().await;
            return Err(Lost::Unsent);
        }
        // What never gets there and what gets there later than anybody waits for look alike.
        let there = if trouble && kind == 1 {
            there * 20
        } else {
            there
        };
        let under_way = (!trouble || kind < 3).then(|| {
            tokio::spawn(async move {
                passes(there).await;
                work.await
            })
        });
        let answer = match under_way {
            Some(under_way) if !trouble => Some(under_way.await.expect("no panic")),
            _ => None,
        };
        passes(back).await;
        self.gate.pass().await;
        match answer {
            Some(answer) if !self.is_cut() => Ok(answer),
            _ => Err(Lost::Unknown),
        }
    }
}

/// The journal, as one node reaches it.
pub struct SimJournal {
    pub inner: MemoryJournal,
    pub line: Arc<Line>,
}

impl SimJournal {
    async fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, JournalError>> + Send + 'static,
    ) -> Result<T, JournalError> {
        match self.line.call(work).await {
            Ok(answer) => answer,
            Err(_) => Err(JournalError::Unavailable("simulated".into())),
        }
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn append(&self, rows: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError> {
        let (inner, rows) = (self.inner.clone(), rows.to_vec());
        match self
            .line
            .call(async move { inner.append(&rows).await })
            .await
        {
            Ok(answer) => answer,
            Err(Lost::Unsent) => Err(AppendError::Unavailable("simulated".into())),
            Err(Lost::Unknown) => Err(AppendError::Unknown("simulated".into())),
        }
    }

    async fn announce(&self) -> Result<(), JournalError> {
        Ok(())
    }

    async fn load(&self, orders: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError> {
        let (inner, orders) = (self.inner.clone(), orders.to_vec());
        self.ask(async move { inner.load(&orders).await }).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError> {
        self.inner.list(filter).await
    }

    async fn due(
        &self,
        shards: &[ShardId],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Due>, JournalError> {
        let (inner, shards) = (self.inner.clone(), shards.to_vec());
        self.ask(async move { inner.due(&shards, now, limit).await })
            .await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

/// The cache's memory, which all nodes share.
#[derive(Clone, Default)]
pub struct Entries(Arc<Mutex<BTreeMap<OrderId, CacheEntry>>>);

/// The cache, as one node reaches it.
pub struct SimCache {
    pub entries: Entries,
    pub line: Arc<Line>,
}

fn away(_: Lost) -> CacheError {
    CacheError("simulated".into())
}

#[async_trait]
impl Cache for SimCache {
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError> {
        let (store, entries) = (self.entries.clone(), entries.to_vec());
        let put = async move {
            let mut store = store.0.lock();
            for entry in entries {
                let rank = |entry: &CacheEntry| (entry.generation, entry.version);
                if store
                    .get(&entry.order)
                    .is_none_or(|there| rank(there) <= rank(&entry))
                {
                    store.insert(entry.order, entry);
                }
            }
        };
        self.line.call(put).await.map_err(away)
    }

    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError> {
        let (store, orders) = (self.entries.clone(), orders.to_vec());
        let get = async move {
            let store = store.0.lock();
            orders
                .iter()
                .map(|order| store.get(order).cloned())
                .collect()
        };
        self.line.call(get).await.map_err(away)
    }

    async fn put_position(&self, _: OrderId, _: Position) -> Result<(), CacheError> {
        Ok(())
    }

    async fn position(&self, _: OrderId) -> Result<Option<Position>, CacheError> {
        Ok(None)
    }

    async fn drop_position(&self, _: OrderId) -> Result<(), CacheError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.line.call(async {}).await.map_err(away)
    }
}

/// A node's wall clock, which may jump, and its ids.
pub struct SimClock {
    start: tokio::time::Instant,
    dice: Mutex<Dice>,
    pub offset_ms: Mutex<i64>,
}

impl SimClock {
    pub fn new(dice: Dice) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            dice: Mutex::new(dice),
            offset_ms: Mutex::new(0),
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = Duration::as_millis(&self.start.elapsed());
        let passed = i64::try_from(passed).expect("short");
        Timestamp(1_800_000_000_000 + passed + *self.offset_ms.lock())
    }

    fn uuid_v7(&self) -> Uuid {
        let millis = u64::try_from(self.now().0).unwrap_or(0);
        let mut dice = self.dice.lock();
        let mut random = [0; 10];
        random[..8].copy_from_slice(&dice.draw().to_be_bytes());
        random[8..].copy_from_slice(&dice.draw().to_be_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
