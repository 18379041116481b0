//! The inventory's stock on the file: levels, reservations, and the replies in its outbox.

mod apply;
mod reservations;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sqlx::sqlite::SqliteConnection;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Level;
use trackops_domain::time::Timestamp;

use super::db::Db;
use super::error::{WriteError, corrupt, refused};
use super::outbox::SqliteOutbox;
use crate::ports::clock::Clock;
use crate::ports::stock::{ReservationView, StockError, StockOutcome, StockRequest, StockStore};

/// How long a client's idempotency key is remembered. A client retries within minutes; a week
/// covers one that was switched off over a weekend.
const KEYS_KEPT: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// The stock on the file.
#[derive(Debug)]
pub(super) struct SqliteStock {
    db: Arc<Db>,
    outbox: Arc<SqliteOutbox>,
    clock: super::SharedClock,
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
        key: Option<&str>,
    ) -> Result<(Level, bool), StockError> {
        let (sku, key) = (sku.clone(), key.map(ToOwned::to_owned));
        let now = self.clock.now();
        let set = self.db.writer.write(move |conn| {
            async move { set_on_hand(conn, &sku, on_hand, key.as_deref(), now).await }.boxed()
        });
        set.await.map_err(write_failed)?
    }

    async fn item(&self, sku: &Sku) -> Result<Option<Level>, StockError> {
        let level: Option<(i64, i64)> =
            sqlx::query_as("SELECT on_hand, reserved FROM stock_items WHERE sku = ?1")
                .bind(sku.as_str())
                .fetch_optional(&self.db.reads)
                .await
                .map_err(read_failed)?;
        Ok(level.map(|(on_hand, reserved)| level_of(on_hand, reserved)))
    }

    async fn items(
        &self,
        after: Option<&Sku>,
        limit: u32,
    ) -> Result<Vec<(Sku, Level)>, StockError> {
        // The smallest SKU is longer than the empty text.
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT sku, on_hand, reserved FROM stock_items WHERE sku > ?1 ORDER BY sku LIMIT ?2",
        )
        .bind(after.map_or("", Sku::as_str))
        .bind(limit)
        .fetch_all(&self.db.reads)
        .await
        .map_err(read_failed)?;
        rows.into_iter()
            .map(|(sku, on_hand, reserved)| {
                let sku = Sku::parse(&sku).ok_or_else(|| read_failed(corrupt("SKU")))?;
                Ok((sku, level_of(on_hand, reserved)))
            })
            .collect()
    }

    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError> {
        let found = reservations::load(&self.db.reads, &[order]).await;
        let stored = found.map_err(read_failed)?.remove(&order);
        Ok(stored.map(|stored| ReservationView {
            order,
            state: stored.state,
            items: stored.items,
            updated_at: stored.updated_at,
        }))
    }

    async fn ping(&self) -> Result<(), StockError> {
        let ping = sqlx::query("SELECT 1").execute(&self.db.reads);
        ping.await.map(drop).map_err(read_failed)
    }
}

/// Inside the writing transaction; a refusal has written nothing.
async fn set_on_hand(
    conn: &mut SqliteConnection,
    sku: &Sku,
    on_hand: u64,
    key: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<Result<(Level, bool), StockError>> {
    let wanted = i64::try_from(on_hand).map_err(|_| refused("quantity out of range"))?;
    let stored: Option<(i64, i64)> =
        sqlx::query_as("SELECT on_hand, reserved FROM stock_items WHERE sku = ?1")
            .bind(sku.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    let (current, reserved) = stored.unwrap_or((0, 0));
    if let Some(key) = key {
        let known: Option<(String, i64, Option<i64>)> =
            sqlx::query_as("SELECT sku, on_hand, reserved FROM stock_keys WHERE key = ?1")
                .bind(key)
                .fetch_optional(&mut *conn)
                .await?;
        if let Some((of, to, answered)) = known {
            if of != sku.as_str() || to != wanted {
                return Ok(Err(StockError::KeyReused));
            }
            let (on_hand, reserved) = match answered {
                Some(reserved_then) => (wanted, reserved_then),
                // From before answers were stored.
                None => (current, reserved),
            };
            return Ok(Ok((level_of(on_hand, reserved), true)));
        }
    }
    if wanted < reserved {
        let reserved = level_of(current, reserved).reserved;
        return Ok(Err(StockError::BelowReserved { reserved }));
    }
    sqlx::query(
        "INSERT INTO stock_items (sku, on_hand, reserved) VALUES (?1, ?2, 0)
         ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand",
    )
    .bind(sku.as_str())
    .bind(wanted)
    .execute(&mut *conn)
    .await?;
    if let Some(key) = key {
        remember(conn, key, sku, (wanted, reserved), now).await?;
    }
    Ok(Ok((level_of(wanted, reserved), false)))
}

async fn remember(
    conn: &mut SqliteConnection,
    key: &str,
    sku: &Sku,
    (on_hand, reserved): (i64, i64),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM stock_keys WHERE at < ?1")
        .bind(now.0 - i64::try_from(KEYS_KEPT.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO stock_keys (key, sku, on_hand, at, reserved) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(key)
    .bind(sku.as_str())
    .bind(on_hand)
    .bind(now.0)
    .bind(reserved)
    .execute(conn)
    .await
    .map(drop)
}

/// The schema keeps both from being negative.
fn level_of(on_hand: i64, reserved: i64) -> Level {
    Level {
        on_hand: u64::try_from(on_hand).unwrap_or(0),
        reserved: u64::try_from(reserved).unwrap_or(0),
    }
}

fn read_failed(error: sqlx::Error) -> StockError {
    StockError::Unavailable(error.into())
}

fn write_failed(error: WriteError) -> StockError {
    match error {
        WriteError::Refused(_) => StockError::BadRequest(error.into()),
        // Every request can be applied again: what was applied is found as such.
        _ => StockError::Unavailable(error.into()),
    }
}
