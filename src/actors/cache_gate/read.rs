//! Reads through the cache: an entry is given only if it may be believed, and many readers of one order share
//! one load. The caller says what a load is.

use std::future::Future;
use std::sync::Arc;

use tokio::time::timeout;
use trackops_cluster::ShardId;
use trackops_domain::ids::OrderId;
use trackops_domain::invariants::Invariant;
use trackops_domain::order::Order;

use super::flights::LoadError;
use super::gate::CacheGate;
use super::requests::{count, entry_of};
use crate::model::position::Position;
use crate::ports::cache::CacheEntry;
use crate::telemetry::violated;

impl CacheGate {
    /// The cached view of `order`. If there is none, runs `loader` and caches what it gives. However many
    /// callers ask for one order at the same time, the cache is asked once and one loader runs; the other
    /// loaders are dropped without being polled. `None` is an order that doesn't exist.
    pub async fn get_or_load<E>(
        &self,
        shard: ShardId,
        order: OrderId,
        loader: impl Future<Output = Result<Option<Arc<Order>>, E>> + Send,
    ) -> Result<Option<CacheEntry>, LoadError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        // The generation is taken before the load. Otherwise a load that missed a write could be cached under
        // a generation younger than that write.
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
            // A failure here leaves the cache as it was, so no entry becomes stale.
            self.put(&[entry]).await;
        }
        outcome
    }

    /// The last position of an order's courier, if the cache can be asked now. Positions carry no generation:
    /// the courier's next report replaces a lost one.
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
    pub(super) async fn read_at(
        &self,
        shard: ShardId,
        generation: Option<i64>,
        order: OrderId,
    ) -> Option<CacheEntry> {
        let floor = self.watch.floor(order);
        // Checked after the floor: an order whose version is remembered there stays marked here until the
        // cache has it.
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
        // Checked after the answer, which may have come over a connection that nobody had noticed yet.
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
}
