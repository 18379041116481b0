//! The guard between the order actors and the cache: decides when an entry may be believed, bounds
//! what the cache may cost a command, and keeps the cache from being asked while it is away.
//!
//! An entry is believed only if it carries the generation that this replica knows for the shard. A
//! write that failed, was too slow or was left out makes the generation unknown at once, and so
//! every older entry of the shard unreadable, until a higher one is stored in the database. That is
//! why a failed write is never followed by a stale read (I8), whatever became of it in the cache.

mod flights;
mod generations;
mod repair;
#[cfg(test)]
mod tests;
mod unconfirmed;
mod watch;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use tokio::time::timeout;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::invariants::Invariant;
use trackops_domain::order::Order;

use self::flights::Flights;
use self::generations::Generations;
use self::unconfirmed::Pending;
pub use self::unconfirmed::{Committed, Unconfirmed};
use self::watch::Watch;
use crate::codec::view;
use crate::model::position::Position;
use crate::ports::cache::{Cache, CacheEntry};
use crate::ports::journal::BoxError;
use crate::telemetry::{names::CACHE_REQUESTS, violated};

/// Raises the cache generation of shards in the database.
#[async_trait]
pub trait GenerationRaiser: Send + Sync + 'static {
    /// The new generations of those of `shards` that this replica still owns.
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError>;
}

/// Limits of the gate.
#[derive(Clone, Debug)]
pub struct CacheGateSettings {
    /// The most that one write takes.
    pub write_limit: Duration,
    /// The most that a read waits for the cache before it goes to the journal.
    pub read_limit: Duration,
    /// The most that one attempt to raise generations takes.
    pub raise_limit: Duration,
    /// First pause before a probe or between attempts to raise; doubled up to `repair_cap`.
    pub repair_base: Duration,
    /// The longest pause: within this a cache that is back is used again.
    pub repair_cap: Duration,
    /// Draws from 0 to 1: how much of a quarter a pause is shortened by, so that replicas which lost
    /// the cache together don't come back together.
    pub jitter: fn() -> f64,
}

impl Default for CacheGateSettings {
    fn default() -> Self {
        Self {
            // For so long what a cache that hangs doesn't confirm is read elsewhere; then the breaker is open.
            write_limit: Duration::from_millis(50),
            read_limit: Duration::from_millis(50),
            raise_limit: Duration::from_secs(2),
            repair_base: Duration::from_millis(100),
            repair_cap: Duration::from_secs(2),
            jitter: rand::random,
        }
    }
}

/// A load failed; shared by all who waited for it. The loader's own error is inside.
#[derive(Clone, Debug, Error)]
#[error("the order could not be loaded")]
pub struct LoadError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

/// See the module.
pub struct CacheGate {
    cache: Arc<dyn Cache>,
    raiser: Arc<dyn GenerationRaiser>,
    settings: CacheGateSettings,
    generations: Generations,
    flights: Flights,
    pending: Pending,
    watch: Watch,
    /// The cache failed: it is not asked until a probe succeeds.
    open: AtomicBool,
    /// Failures since the last successful write, for the pause before the next probe.
    failures: AtomicU32,
    repairing: AtomicBool,
    /// For the repair task, which must not keep a gate alive that nobody uses.
    itself: Weak<Self>,
}

impl CacheGate {
    /// A gate that believes nothing until [`Self::adopt`]. Needs no task of the caller's: repair
    /// runs by itself when there is something to repair.
    pub fn new(
        cache: Arc<dyn Cache>,
        raiser: Arc<dyn GenerationRaiser>,
        settings: CacheGateSettings,
    ) -> Arc<Self> {
        let session = cache.session();
        Arc::new_cyclic(|itself| Self {
            cache,
            raiser,
            settings,
            generations: Generations::new(session),
            flights: Flights::default(),
            pending: Pending::new(),
            watch: Watch::new(),
            open: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            repairing: AtomicBool::new(false),
            itself: Weak::clone(itself),
        })
    }

    /// The shard was claimed: its entries are believed if they carry `generation`. One that is not
    /// higher than the last known is ignored.
    pub fn adopt(&self, shard: ShardId, generation: i64) {
        self.generations.claimed(shard, generation);
    }

    /// The shard is given up. The generation under which its entries may be believed by the next
    /// owner; `None` if that one must raise it first.
    pub fn release(&self, shard: ShardId) -> Option<i64> {
        self.generations.released(shard)
    }

    /// The shard is about to be handed over: makes sure that the next owner may believe what it finds
    /// under the generation that is stored. `false` if that can't be had now.
    pub async fn hand_over(&self, shard: ShardId) -> bool {
        self.pending.none_of(shard).await;
        // Nothing may have been asked of the cache for a while: whether it still is the one that was
        // written through to shows only now. While it is away nothing of it is believed either.
        let pinged = timeout(self.settings.write_limit, self.cache.ping()).await;
        if !matches!(pinged, Ok(Ok(()))) {
            self.generations.distrust(shard, None);
            self.repair();
        }
        self.check_session();
        if self.generations.known(shard).is_some() {
            return true;
        }
        // Entries may be missing or old: a higher generation has to be stored first, also while the
        // cache itself is away from this replica.
        let asked: Vec<_> = self
            .generations
            .distrusted()
            .into_iter()
            .filter(|(distrusted, _)| *distrusted == shard)
            .collect();
        let only = [shard];
        let raise = timeout(self.settings.raise_limit, self.raiser.raise(&only));
        match raise.await {
            Ok(Ok(raised)) => {
                self.generations.raised(&asked, &raised);
                raised.iter().any(|(answered, _)| *answered == shard)
            }
            Ok(Err(error)) => {
                tracing::warn!(%shard, %error, "cache generation not raised before a move");
                false
            }
            Err(_) => false,
        }
    }

    /// The generation of `shard`, if its entries may be believed now.
    pub fn generation(&self, shard: ShardId) -> Option<i64> {
        self.generations.known(shard)
    }

    /// The cached view of `order`, or else what `loader` gives, which is then cached. However many
    /// ask for one order at the same time, the cache is asked once and one loader is run; the others
    /// are dropped without being polled. `None` is an order that doesn't exist.
    pub async fn get_or_load<E>(
        &self,
        shard: ShardId,
        order: OrderId,
        loader: impl Future<Output = Result<Option<Arc<Order>>, E>> + Send,
    ) -> Result<Option<CacheEntry>, LoadError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        // The generation is taken before the load, so that what is loaded can't be written under a
        // generation that is younger than a write which the load didn't see.
        let seat = self.flights.board(order, self.generations.known(shard));
        let mut loaded_here = None;
        let outcome = seat
            .result(async {
                if let Some(hit) = self.read_at(shard, seat.generation(), order).await {
                    return Ok(Some(hit));
                }
                let found = loader.await.map_err(|error| LoadError(Arc::new(error)))?;
                let entry = found.map(|order| entry_of(&order, seat.generation().unwrap_or(0)));
                loaded_here.clone_from(&entry);
                Ok(entry)
            })
            .await;
        let may_cache = seat.generation().is_some() && seat.is_current();
        drop(seat);
        if let Some(entry) = loaded_here.filter(|_| may_cache)
            && !self.is_open()
        {
            // A failure here leaves the cache as it was: nothing becomes stale by it.
            self.put(&[entry]).await;
        }
        outcome
    }

    /// The last position of an order's courier, if the cache can be asked now. Positions carry no
    /// generation: what is lost of them the courier's next word replaces.
    pub async fn position(&self, order: OrderId) -> Option<Position> {
        if self.is_open() {
            return None;
        }
        let answer = timeout(self.settings.read_limit, self.cache.position(order)).await;
        let Ok(Ok(found)) = answer else {
            self.trip("a courier's position was too slow or failed");
            return None;
        };
        found
    }

    /// The cached view of `order`, if it may be believed under `generation`.
    async fn read_at(
        &self,
        shard: ShardId,
        generation: Option<i64>,
        order: OrderId,
    ) -> Option<CacheEntry> {
        let floor = self.watch.floor(order);
        // After the floor: whose version is known there is marked here until it can be found.
        let may_ask = !self.is_open() && !self.pending.has(order);
        let Some(generation) = generation.filter(|_| may_ask) else {
            count("skipped", 1);
            return None;
        };
        let asked = [order];
        let answer = timeout(self.settings.read_limit, self.cache.get(&asked)).await;
        let Ok(Ok(found)) = answer else {
            count("error", 1);
            self.trip("a read was too slow or failed");
            return None;
        };
        let Some(entry) = found.into_iter().next().flatten() else {
            count("miss", 1);
            return None;
        };
        // Asked after the answer: it may have come over a connection that nobody had seen yet.
        self.check_session();
        let still = self.generations.known(shard) == Some(generation);
        if !still || entry.generation != generation {
            count("stale", 1);
            return None;
        }
        if let Some(floor) = floor.filter(|floor| entry.version < *floor) {
            count("stale", 1);
            let shown = entry.version;
            violated(
                Invariant::Fresh,
                &format!("the cache shows version {shown} of order {order}, {floor} was answered"),
            );
            return None;
        }
        count("hit", 1);
        Some(entry)
    }

    /// The cache is left alone.
    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// One bounded write; a failure opens the breaker.
    async fn put(&self, batch: &[CacheEntry]) -> bool {
        match timeout(self.settings.write_limit, self.cache.put(batch)).await {
            Ok(Ok(())) => {
                self.failures.store(0, Ordering::SeqCst);
                return true;
            }
            Ok(Err(error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                self.trip(source.as_deref().unwrap_or("a write failed"));
            }
            Err(_) => self.trip("a write was too slow"),
        }
        false
    }

    /// Believes nothing any more if the cache has come to another connection.
    fn check_session(&self) {
        if self.generations.note_session(|| self.cache.session()) {
            tracing::info!(
                "another connection to the cache: its entries are not read until raised"
            );
            self.repair();
        }
    }
}

fn entry_of(order: &Order, generation: i64) -> CacheEntry {
    entry_from(order, view::render(order), generation)
}

fn entry_from(order: &Order, view: Bytes, generation: i64) -> CacheEntry {
    CacheEntry {
        order: order.id,
        version: order.version(),
        generation,
        is_final: order.status().is_final(),
        view,
    }
}

fn count(outcome: &'static str, entries: usize) {
    if entries > 0 {
        metrics::counter!(CACHE_REQUESTS, "outcome" => outcome).increment(entries as u64);
    }
}
