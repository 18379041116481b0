//! The gate before a cache that fails, hangs, loses its entries or lies, at a chosen call. The clock is
//! paused, so that only the test moves it on.

mod hand_over;
mod unconfirmed;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use trackops_cluster::ShardId;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, Sku, Version};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::order::{LogEntry, Order};
use trackops_domain::placed::{Address, Item, Placed};
use trackops_domain::saga::{Saga, Stock};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::*;
use crate::codec::view;
use crate::model::position::Position;
use crate::ports::cache::{Cache, CacheEntry, CacheError};
use crate::ports::journal::BoxError;

const S: ShardId = ShardId(3);
const OTHER: ShardId = ShardId(4);

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Well,
    Fails,
    /// Never answers and doesn't store the entries.
    Hangs,
    /// Never answers but stores the entries.
    HangsAfterwards,
    /// Reports success but doesn't store the entries.
    Lies,
}

struct Double {
    mode: Mutex<Mode>,
    views: Mutex<HashMap<OrderId, CacheEntry>>,
    session: AtomicU64,
    puts: AtomicUsize,
    gets: AtomicUsize,
}

impl Double {
    fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    async fn answer(&self) -> Result<(), CacheError> {
        let mode = *self.mode.lock();
        match mode {
            Mode::Well | Mode::Lies => Ok(()),
            Mode::Fails => Err(CacheError("double".into())),
            Mode::Hangs | Mode::HangsAfterwards => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Cache for Double {
    async fn put(&self, entries: &[CacheEntry]) -> Result<(), CacheError> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock();
        if matches!(mode, Mode::Well | Mode::HangsAfterwards) {
            let mut views = self.views.lock();
            for entry in entries {
                let rank = |entry: &CacheEntry| (entry.generation, entry.version);
                let there = views.get(&entry.order).map(rank);
                if there.is_none_or(|there| there <= rank(entry)) {
                    views.insert(entry.order, entry.clone());
                }
            }
        }
        self.answer().await
    }

    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.answer().await?;
        let views = self.views.lock();
        Ok(orders.iter().map(|id| views.get(id).cloned()).collect())
    }

    async fn put_position(&self, _: OrderId, _: Position) -> Result<(), CacheError> {
        self.answer().await
    }

    async fn position(&self, _: OrderId) -> Result<Option<Position>, CacheError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.answer().await.map(|()| None)
    }

    async fn drop_position(&self, _: OrderId) -> Result<(), CacheError> {
        self.answer().await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.answer().await
    }

    fn session(&self) -> u64 {
        self.session.load(Ordering::SeqCst)
    }
}

/// The database's column of generations.
#[derive(Default)]
struct Column {
    generations: Mutex<BTreeMap<ShardId, i64>>,
    failures_left: AtomicUsize,
    calls: AtomicUsize,
}

#[async_trait]
impl GenerationRaiser for Column {
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let less = |left: usize| left.checked_sub(1);
        let failing = &self.failures_left;
        if failing
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
        {
            return Err("double".into());
        }
        let mut generations = self.generations.lock();
        let raise = |shard: &ShardId| {
            let generation = generations.entry(*shard).or_insert(1);
            *generation += 1;
            (*shard, *generation)
        };
        Ok(shards.iter().map(raise).collect())
    }
}

fn gate() -> (Arc<Double>, Arc<Column>, Arc<CacheGate>) {
    let cache = Arc::new(Double {
        mode: Mutex::new(Mode::Well),
        views: Mutex::default(),
        session: AtomicU64::new(1),
        puts: AtomicUsize::new(0),
        gets: AtomicUsize::new(0),
    });
    let column = Arc::new(Column::default());
    let settings = CacheGateSettings::default();
    let gate = CacheGate::new(Arc::clone(&cache) as _, Arc::clone(&column) as _, settings);
    gate.adopt(S, 1);
    gate.adopt(OTHER, 1);
    (cache, column, gate)
}

fn order(id: OrderId, version: usize) -> Arc<Order> {
    let steps = [Status::Pending, Status::Confirmed, Status::Preparing];
    let entry = |status: &Status| LogEntry {
        status: *status,
        at: Timestamp(1),
        by: "client".into(),
        command: CommandId(uuid::Uuid::nil()),
        reason: None,
        courier: None,
    };
    let item = Item {
        sku: Sku::parse("PIZZA").expect("a SKU"),
        quantity: 1,
        unit_price: Amount(950),
    };
    let address = Address {
        street: "Weg 1".into(),
        city: "Ort".into(),
        postal_code: "1".into(),
        country: "DE".into(),
        lat: None,
        lon: None,
        phone: None,
    };
    Arc::new(Order {
        id,
        placed: Arc::new(Placed {
            customer: CustomerId(uuid::Uuid::nil()),
            currency: Currency::parse("EUR").expect("a currency"),
            items: Box::new([item]),
            address,
            instructions: None,
            shop: None,
            total: Amount(950),
        }),
        body_hash: None,
        log: steps[..version].iter().map(entry).collect(),
        saga: Saga {
            stock: Stock::Requested,
            deadline: None,
            asked_again: 0,
        },
        remembered: smallvec::SmallVec::new(),
    })
}

impl CacheGate {
    /// A write that is confirmed, or has failed, before any answer.
    async fn write(&self, entries: Vec<(ShardId, Arc<Order>)>) {
        self.committed(committed(entries)).write().await;
    }
}

fn committed(entries: Vec<(ShardId, Arc<Order>)>) -> Vec<Committed> {
    let entries = entries.into_iter().map(|(shard, order)| Committed {
        shard,
        view: view::render(&order),
        order,
    });
    entries.collect()
}

fn some_id() -> OrderId {
    OrderId(uuid::Uuid::now_v7())
}

async fn shown(gate: &CacheGate, shard: ShardId, id: OrderId) -> Option<Version> {
    let generation = gate.generations.known(shard);
    let read = gate.read_at(shard, generation, id).await;
    read.map(|entry| entry.version)
}

/// Waits, on the paused clock, for the repair to end.
async fn repaired(gate: &CacheGate) {
    let until = Instant::now() + Duration::from_mins(1);
    while gate.repairing.load(Ordering::SeqCst) {
        assert!(Instant::now() < until, "never repaired");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn recorder() -> (
    metrics_exporter_prometheus::PrometheusRecorder,
    PrometheusHandle,
) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_only_where_the_generation_is_known() {
    let (cache, _, gate) = gate();
    let id = some_id();
    gate.write(vec![(S, order(id, 1))]).await;
    assert_eq!(shown(&gate, S, id).await, Some(Version(1)));

    gate.adopt(S, 2);
    assert_eq!(shown(&gate, S, id).await, None, "of an older claim");
    gate.adopt(S, 1);
    assert_eq!(gate.generation(S), Some(2), "a late adoption is ignored");
    assert_eq!(gate.release(S), Some(2));
    gate.write(vec![(S, order(id, 2))]).await;
    assert_eq!(shown(&gate, S, id).await, None, "not ours");
    assert_eq!(cache.puts.load(Ordering::SeqCst), 1);
}

/// However the write goes wrong, nobody reads the older version afterwards: not at once, not after the
/// repair, and not from an entry that a late write leaves in the cache.
#[tokio::test(start_paused = true)]
async fn a_failed_write_is_never_followed_by_a_stale_read() {
    for mode in [Mode::Fails, Mode::Hangs, Mode::HangsAfterwards] {
        let (cache, column, gate) = gate();
        let (id, neighbour) = (some_id(), some_id());
        gate.write(vec![(S, order(id, 1)), (OTHER, order(neighbour, 1))])
            .await;

        cache.set(mode);
        let began = Instant::now();
        gate.write(vec![(S, order(id, 2))]).await;
        assert!(began.elapsed() <= Duration::from_millis(51), "bounded");
        cache.set(Mode::Well);
        assert_eq!(shown(&gate, S, id).await, None);
        assert_eq!(gate.generation(S), None);
        assert_eq!(gate.generation(OTHER), Some(1), "only the shards touched");

        repaired(&gate).await;
        assert_eq!(gate.generation(S), Some(2));
        assert_eq!(column.calls.load(Ordering::SeqCst), 1);
        assert_eq!(shown(&gate, S, id).await, None, "what is there is older");
        assert_eq!(shown(&gate, OTHER, neighbour).await, Some(Version(1)));
        gate.write(vec![(S, order(id, 3))]).await;
        assert_eq!(shown(&gate, S, id).await, Some(Version(3)));
    }
}

/// While the cache is away it costs one time-out, then nothing. When it is back, the shards written meanwhile
/// are raised in one call, even if the database fails at first.
#[tokio::test(start_paused = true)]
async fn the_breaker_opens_and_closes() {
    let (cache, column, gate) = gate();
    let (id, other) = (some_id(), some_id());
    gate.write(vec![(S, order(id, 1)), (OTHER, order(other, 1))])
        .await;
    cache.set(Mode::Hangs);
    column.failures_left.store(2, Ordering::SeqCst);

    let began = Instant::now();
    assert_eq!(shown(&gate, S, id).await, None);
    for version in [1, 2, 3] {
        gate.write(vec![
            (S, order(id, version)),
            (OTHER, order(other, version)),
        ])
        .await;
        assert_eq!(shown(&gate, OTHER, other).await, None);
    }
    assert!(began.elapsed() <= Duration::from_millis(51), "one time-out");
    assert_eq!(cache.puts.load(Ordering::SeqCst), 1, "not asked any more");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(column.calls.load(Ordering::SeqCst), 0, "no use yet");

    cache.set(Mode::Well);
    repaired(&gate).await;
    assert_eq!(column.calls.load(Ordering::SeqCst), 3);
    assert_eq!(
        (gate.generation(S), gate.generation(OTHER)),
        (Some(2), Some(2))
    );
    assert_eq!(shown(&gate, S, id).await, None);
    gate.write(vec![(S, order(id, 3))]).await;
    assert_eq!(shown(&gate, S, id).await, Some(Version(3)));
}

/// The first request for a courier's position costs one time-out, the next ones cost none.
#[tokio::test(start_paused = true)]
async fn positions_respect_the_breaker() {
    let (cache, _, gate) = gate();
    let id = some_id();
    cache.set(Mode::Hangs);
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(gate.position(id).await, None);
    }
    assert!(began.elapsed() <= Duration::from_millis(51), "one time-out");
    assert_eq!(shown(&gate, S, id).await, None);
    assert_eq!(cache.gets.load(Ordering::SeqCst), 1, "not asked any more");
    cache.set(Mode::Well);
    repaired(&gate).await;
    gate.position(id).await;
    assert_eq!(cache.gets.load(Ordering::SeqCst), 2);
}

/// A cache that came back with older contents is not believed, in any shard, even if no call failed.
#[tokio::test(start_paused = true)]
async fn another_connection_makes_everything_unreadable_until_raised() {
    let (cache, _, gate) = gate();
    let id = some_id();
    gate.write(vec![(S, order(id, 1))]).await;
    let snapshot = cache.views.lock().clone();
    gate.write(vec![(S, order(id, 2))]).await;

    *cache.views.lock() = snapshot;
    cache.session.store(2, Ordering::SeqCst);
    assert_eq!(shown(&gate, S, id).await, None);
    repaired(&gate).await;
    assert_eq!(
        (gate.generation(S), gate.generation(OTHER)),
        (Some(2), Some(2))
    );
    assert_eq!(shown(&gate, S, id).await, None);
}

/// A write whose caller went away is a failed write.
#[tokio::test(start_paused = true)]
async fn a_dropped_write_is_a_failed_one() {
    let (cache, _, gate) = gate();
    let id = some_id();
    gate.write(vec![(S, order(id, 1))]).await;
    cache.set(Mode::Hangs);
    let write = gate.write(vec![(S, order(id, 2))]);
    assert!(timeout(Duration::from_millis(10), write).await.is_err());
    cache.set(Mode::Well);
    assert_eq!(shown(&gate, S, id).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_a_cold_order_make_one_load() {
    let (cache, _, gate) = gate();
    let id = some_id();
    let loads = Arc::new(AtomicUsize::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..1000_u64 {
        let (gate, loads) = (Arc::clone(&gate), Arc::clone(&loads));
        readers.spawn(async move {
            let load = async {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, Infallible>(Some(order(id, 2)))
            };
            // The first caller goes away half way, and another takes over.
            let limit = Duration::from_millis(if n == 0 { 1 } else { 1000 });
            timeout(limit, gate.get_or_load(S, id, load)).await
        });
    }
    let mut answers = 0;
    while let Some(done) = readers.join_next().await {
        if let Ok(Ok(Some(entry))) = done.expect("no panic") {
            assert_eq!(entry.version, Version(2));
            answers += 1;
        }
    }
    assert_eq!(answers, 999);
    assert_eq!(
        loads.load(Ordering::SeqCst),
        2,
        "one that was given up, and one"
    );
    assert_eq!(shown(&gate, S, id).await, Some(Version(2)), "cached");
    assert!(cache.gets.load(Ordering::SeqCst) <= 3);
    assert!(gate.flights.is_empty());
}

/// A reader that comes after a write never gets a load from before it, and such a load is not cached.
#[tokio::test(start_paused = true)]
async fn a_load_overtaken_by_a_write_is_not_passed_on() {
    let (cache, _, gate) = gate();
    let id = some_id();
    let slow = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move {
            let load = async {
                let read = order(id, 1);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, Infallible>(Some(read))
            };
            gate.get_or_load(S, id, load).await
        })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    gate.write(vec![(S, order(id, 2))]).await;
    // The entry is lost again at once, so that only the flight could answer.
    cache.views.lock().clear();
    let fresh = async { Ok::<_, Infallible>(Some(order(id, 2))) };
    let after = gate.get_or_load(S, id, fresh).await.expect("loaded");
    assert_eq!(after.map(|entry| entry.version), Some(Version(2)));
    cache.views.lock().clear();
    slow.await.expect("no panic").expect("loaded");
    assert!(cache.views.lock().is_empty(), "the old load is not cached");
}

/// A failed load is told to all who waited, is not remembered, and keeps its reason.
#[tokio::test(start_paused = true)]
async fn a_failed_load_is_shared_and_forgotten() {
    let (_, _, gate) = gate();
    let id = some_id();
    let failing = async { Err::<Option<Arc<Order>>, _>(std::fmt::Error) };
    let error = gate.get_or_load(S, id, failing).await.expect_err("failed");
    assert!(error.0.downcast_ref::<std::fmt::Error>().is_some());
    let missing = async { Ok::<_, Infallible>(None) };
    assert!(
        gate.get_or_load(S, id, missing)
            .await
            .expect("loaded")
            .is_none()
    );
}

/// I8: a cache that shows an older version under the right generation is caught and counted.
#[tokio::test(start_paused = true)]
async fn an_older_version_than_answered_is_counted_and_not_shown() {
    let (recorder, handle) = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let (cache, _, gate) = gate();
    let id = some_id();
    gate.write(vec![(S, order(id, 1))]).await;
    assert_eq!(shown(&gate, S, id).await, Some(Version(1)));
    assert!(!handle.render().contains("invariant=\"I8\""));

    cache.set(Mode::Lies);
    gate.write(vec![(S, order(id, 2))]).await;
    assert_eq!(shown(&gate, S, id).await, None);
    let text = handle.render();
    assert!(
        text.contains("trackops_invariant_violations_total{invariant=\"I8\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("trackops_cache_requests_total{outcome=\"hit\"} 1"),
        "{text}"
    );
}
