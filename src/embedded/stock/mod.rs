//! The inventory's stock on the file: levels, reservations, and the replies in its outbox.

mod apply;
mod items;
mod level;
mod reservations;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::time::Timestamp;

use super::db::Db;
use super::error::WriteError;
use super::outbox::SqliteOutbox;
use super::shared_clock::SharedClock;
use crate::ports::clock::Clock;
use crate::ports::stock::{
    Adjustment, Condition, Item, Replies, ReservationView, StockError, StockOutcome, StockRequest,
    StockStore,
};
use items::Restocking;

/// The stock on the file.
#[derive(Debug)]
pub(super) struct SqliteStock {
    db: Arc<Db>,
    outbox: Arc<SqliteOutbox>,
    clock: SharedClock,
}

impl SqliteStock {
    pub(super) fn new(db: Arc<Db>, outbox: Arc<SqliteOutbox>, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            outbox,
            clock: clock.into(),
        }
    }
}

#[async_trait]
impl StockStore for SqliteStock {
    async fn apply(
        &self,
        batch: &[StockRequest],
        now: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError> {
        let (batch, inserted_at) = (batch.to_vec(), self.clock.now());
        let outbox = Arc::clone(&self.outbox);
        let applied = self.db.writer.write_then(
            move |conn| async move { apply::apply(conn, &batch, now, inserted_at).await }.boxed(),
            move |_| outbox.announce(),
        );
        applied.await.map_err(write_failed)
    }

    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        condition: &Condition,
        key: Option<&str>,
    ) -> Result<(Item, bool), StockError> {
        let asked = Restocking {
            sku: sku.clone(),
            condition: condition.clone(),
            key: key.map(ToOwned::to_owned),
            now: self.clock.now(),
        };
        let set = self
            .db
            .writer
            .write(move |conn| async move { items::set(conn, &asked, on_hand).await }.boxed());
        Ok(set.await.map_err(write_failed)??)
    }

    async fn adjust(
        &self,
        sku: &Sku,
        delta: i64,
        reason: &str,
        key: Option<&str>,
    ) -> Result<(Adjustment, bool), StockError> {
        let asked = Restocking {
            sku: sku.clone(),
            condition: Condition::default(),
            key: key.map(ToOwned::to_owned),
            now: self.clock.now(),
        };
        let reason = reason.to_owned();
        let adjusted = self.db.writer.write(move |conn| {
            async move { items::adjust(conn, &asked, delta, &reason).await }.boxed()
        });
        Ok(adjusted.await.map_err(write_failed)??)
    }

    async fn adjustments(
        &self,
        sku: &Sku,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Adjustment>, StockError> {
        let found = items::adjustments(&self.db.reads, sku, before, limit).await;
        found.map_err(read_failed)
    }

    async fn item(&self, sku: &Sku) -> Result<Option<Item>, StockError> {
        items::item(&self.db.reads, sku).await.map_err(read_failed)
    }

    async fn items(&self, after: Option<&Sku>, limit: u32) -> Result<Vec<(Sku, Item)>, StockError> {
        let found = items::items_after(&self.db.reads, after, limit).await;
        found.map_err(read_failed)
    }

    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError> {
        let found = reservations::load(&self.db.reads, &[order]).await;
        let mut found = found.map_err(read_failed)?;
        if let Some(why) = found.unreadable_records.remove(&order) {
            return Err(StockError::Unavailable(why.into()));
        }
        let record = found.records.remove(&order);
        Ok(record.map(|record| ReservationView {
            order,
            state: record.state,
            items: record.items,
            updated_at: record.updated_at,
        }))
    }

    async fn replies(&self) -> Result<Replies, StockError> {
        let found: (i64, Option<i64>) = sqlx::query_as(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0),
                    (SELECT min(seq) FROM outbox WHERE owner = 1)",
        )
        .fetch_one(&self.db.reads)
        .await
        .map_err(read_failed)?;
        let (newest, oldest) = found;
        Ok(Replies { newest, oldest })
    }

    async fn ping(&self) -> Result<(), StockError> {
        let ping = sqlx::query("SELECT 1").execute(&self.db.reads);
        ping.await.map(drop).map_err(read_failed)
    }
}

fn read_failed(error: sqlx::Error) -> StockError {
    StockError::Unavailable(error.into())
}

fn write_failed(error: WriteError) -> StockError {
    match error {
        WriteError::Refused(_) => StockError::BadRequest(error.into()),
        // Every request can be sent again: one that was applied already is recognised.
        _ => StockError::Unavailable(error.into()),
    }
}
