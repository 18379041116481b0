//! When a listener's way begins: at the commit, not when the cache has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::actors::Settings;
use trackops::model::position::Position;
use trackops::ports::cache::{Cache, CacheEntry, CacheError};
use trackops::ports::live::{LiveItem, LiveListener};
use trackops::ports::orders::{Orders as _, OrdersExt as _};
use trackops_domain::access::Caller;
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;

use super::rig::{Rig, request, settings};

/// Takes a while for each write, less than the gate waits for it.
struct SlowCache;

const CACHE_WRITE: Duration = Duration::from_millis(45);

#[async_trait]
impl Cache for SlowCache {
    async fn put(&self, _: &[CacheEntry]) -> Result<(), CacheError> {
        // The cache's slowness is what is tested.
        tokio::time::sleep(CACHE_WRITE).await;
        Ok(())
    }

    async fn get(&self, orders: &[OrderId]) -> Result<Vec<Option<CacheEntry>>, CacheError> {
        Ok(vec![None; orders.len()])
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
        Ok(())
    }
}

/// Notes how long after its commit it hears of a version.
#[derive(Default)]
struct Stopwatch(Mutex<Vec<Duration>>);

impl LiveListener for Stopwatch {
    fn id(&self) -> u64 {
        7
    }

    fn deliver(&self, item: LiveItem) {
        if let LiveItem::Update {
            committed: Some(committed),
            ..
        } = item
        {
            self.0.lock().push(committed.elapsed());
        }
    }
}

/// Writes that may be under way while their callers have their answers.
const AHEAD: usize = 16;

async fn watched(rig: &Rig) -> (OrderId, Arc<Stopwatch>) {
    let order = rig.place().await;
    let listener = Arc::new(Stopwatch::default());
    let session: Arc<dyn LiveListener> = listener.clone();
    rig.node
        .subscribe(order, None, session)
        .await
        .expect("subscribed");
    (order, listener)
}

async fn confirm(rig: &Rig, order: OrderId) {
    rig.command(order, Command::StockReserved)
        .await
        .expect("confirmed");
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn neither_caller_nor_listener_waits_for_the_cache() {
    let rig = Rig::over(settings(), Arc::new(SlowCache)).await;
    let began = tokio::time::Instant::now();
    let (order, listener) = watched(&rig).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Of the paused clock: past the writer's pace.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    confirm(&rig, order).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(*listener.0.lock(), [Duration::ZERO]);
    let read = rig
        .node
        .read(order, &Caller::anonymous())
        .await
        .expect("there");
    assert_eq!(read.version.0, 2, "what is answered is shown");
}

#[tokio::test(start_paused = true)]
async fn the_way_to_a_listener_is_measured_from_the_commit_on() {
    // A commit queue a shard: what is placed one by one is committed one by one, well within a write to the cache.
    let settings = Settings {
        commit_queues: 8,
        ..settings()
    };
    let rig = Rig::over(settings, Arc::new(SlowCache)).await;
    let (order, listener) = watched(&rig).await;
    let began = tokio::time::Instant::now();
    for number in 1..AHEAD {
        // By key, so that every run has the same shards.
        let placed = rig.node.place(request(Some(&number.to_string()))).await;
        placed.expect("placed");
    }
    assert!(began.elapsed() < CACHE_WRITE, "{:?}", began.elapsed());
    // As many as may be: this one waits for its write.
    confirm(&rig, order).await;
    let heard = listener.0.lock().clone();
    assert_eq!(heard.len(), 1);
    assert!(heard[0] >= CACHE_WRITE, "{heard:?}");
}
