//! Stock on PostgreSQL. A batch of requests is one transaction of two calls: one locks and reads, one writes.
//! Reservations are locked in order of order id, then items in order of SKU, then new reservations are
//! inserted in order of order id, so overlapping batches wait for each other without deadlock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::time::Timestamp;

use super::connections::Connections;
use super::stock_apply::{Attempt, try_apply};
use super::{listener, stock_items as items, stock_rows as rows};
use crate::ports::stock::{
    Adjustment, Condition, Item, Replies, ReservationView, StockError, StockOutcome, StockRequest,
    StockStore,
};

/// How often a batch is tried when it loses against an overlapping one (deadlock, serialization, the
/// same order inserted meanwhile). Locks are taken in one order, so even twice is rare.
const TRIES_MAX: u32 = 4;

/// The time between two announcements, as for orders; many batches commit within it.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(25);

/// The inventory's stock on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgStock {
    writes: Arc<Connections>,
    reads: Arc<Connections>,
    announcing: Arc<Announcing>,
}

/// The state of the task that announces for all batches that commit meanwhile.
#[derive(Debug, Default)]
struct Announcing {
    is_wanted: AtomicBool,
    is_running: AtomicBool,
}

impl PgStock {
    pub(super) fn new(writes: Arc<Connections>, reads: Arc<Connections>) -> Self {
        Self {
            writes,
            reads,
            announcing: Arc::default(),
        }
    }

    /// Announces soon, without waiting for it: the rows are committed, and the relay's timer would find them
    /// anyway.
    fn announce(&self) {
        let state = &self.announcing;
        state.is_wanted.store(true, Ordering::SeqCst);
        if state.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let (state, connections) = (Arc::clone(state), Arc::clone(&self.reads));
        tokio::spawn(async move {
            loop {
                while state.is_wanted.swap(false, Ordering::SeqCst) {
                    if let Err(error) = listener::announce(&connections).await {
                        tracing::debug!(%error, "replies could not be announced");
                    }
                    tokio::time::sleep(ANNOUNCE_EVERY).await;
                }
                state.is_running.store(false, Ordering::SeqCst);
                // A batch that wanted an announcement in between saw this task still running, so started
                // none.
                let is_missed = state.is_wanted.load(Ordering::SeqCst);
                if !is_missed || state.is_running.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }
}

#[async_trait]
impl StockStore for PgStock {
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let connection = self.writes.take().await?;
            let attempt = connection
                .run(async |connection| try_apply(connection, batch, now).await)
                .await;
            match attempt {
                Ok(Attempt::Done {
                    outcomes,
                    has_replies,
                }) => {
                    if has_replies {
                        self.announce();
                    }
                    return Ok(outcomes);
                }
                Err(failure) if !failure.is_transient() => return Err(failure.into()),
                Ok(Attempt::Overtaken) | Err(_) if tries < TRIES_MAX => {}
                Ok(Attempt::Overtaken) => {
                    return Err(StockError::Unavailable(
                        "overtaken again and again by other batches of the same orders".into(),
                    ));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        condition: &Condition,
        key: Option<&str>,
    ) -> Result<(Item, bool), StockError> {
        let connection = self.writes.take().await?;
        let set = connection
            .run(async |connection| items::set(connection, sku, on_hand, condition, key).await)
            .await??;
        Ok(set)
    }

    async fn adjust(
        &self,
        sku: &Sku,
        delta: i64,
        reason: &str,
        key: Option<&str>,
    ) -> Result<(Adjustment, bool), StockError> {
        let connection = self.writes.take().await?;
        let adjusted = connection
            .run(async |connection| items::adjust(connection, sku, delta, reason, key).await)
            .await??;
        Ok(adjusted)
    }

    async fn adjustments(
        &self,
        sku: &Sku,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Adjustment>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| items::adjustments(connection, sku, before, limit).await)
            .await?;
        Ok(found)
    }

    async fn item(&self, sku: &Sku) -> Result<Option<Item>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| items::item(connection, sku).await)
            .await?;
        Ok(found)
    }

    async fn items(&self, after: Option<&Sku>, limit: u32) -> Result<Vec<(Sku, Item)>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| items::items_after(connection, after, limit).await)
            .await?;
        Ok(found)
    }

    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError> {
        let connection = self.reads.take().await?;
        let found = connection
            .run(async |connection| rows::reservation(connection, order).await)
            .await?;
        Ok(found.map(|record| ReservationView {
            order,
            state: record.state,
            items: record.items,
            updated_at: record.updated_at,
        }))
    }

    async fn replies(&self) -> Result<Replies, StockError> {
        let connection = self.reads.take().await?;
        let (newest, oldest) = connection
            .run(async |connection| sqlx::query_as(rows::REPLIES).fetch_one(connection).await)
            .await?;
        Ok(Replies { newest, oldest })
    }

    async fn ping(&self) -> Result<(), StockError> {
        let connection = self.reads.take().await?;
        connection
            .run(async |connection| sqlx::query("SELECT 1").execute(connection).await)
            .await?;
        Ok(())
    }
}
