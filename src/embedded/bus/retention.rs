//! Retention: what is too old or too much goes, oldest first, whoever has read it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::sqlite::SqliteConnection;
use tokio_util::sync::CancellationToken;
use trackops_domain::time::Timestamp;

use super::super::db::Db;
use super::super::text::json;
use super::assign::Slot;
use super::hub::Hub;
use super::rows::{key, slot_of};
use crate::ports::clock::Clock;

/// Between two looks: short against a day, and at most some MiB more than wanted pile up.
const EVERY: Duration = Duration::from_secs(30);
/// Messages removed in one transaction, so that nobody waits long for the writer.
const ROWS_MAX: i64 = 1_000;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Retention {
    /// Messages older than this go.
    pub(in super::super) age: Duration,
    /// Past this many bytes of all topics together the oldest go.
    pub(in super::super) bytes: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(24 * 3600),
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// Cleans at start and then by timer until `stop` or the store closes.
pub(super) async fn run(
    db: Arc<Db>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = db.closing.cancelled() => return,
            _ = ticks.tick() => {}
        }
        clean(&db, &hub, &*clock, retention).await;
    }
}

/// Removes in steps all that is to go.
pub(super) async fn clean(db: &Db, hub: &Arc<Hub>, clock: &dyn Clock, retention: Retention) {
    let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp(clock.now().0.saturating_sub(age));
    loop {
        let told = Arc::clone(hub);
        let step = db.writer.write_then(
            move |conn| async move { remove(conn, before, retention.bytes).await }.boxed(),
            move |starts: &Vec<(Slot, i64)>| told.trim(starts),
        );
        match step.await {
            Ok(starts) if starts.is_empty() => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "cleaning the bus failed, next try by timer");
                return;
            }
        }
    }
}

/// One step; returns the new beginnings of the partitions that lost something.
async fn remove(
    conn: &mut SqliteConnection,
    before: Timestamp,
    bytes_max: i64,
) -> sqlx::Result<Vec<(Slot, i64)>> {
    let total: i64 = sqlx::query_scalar("SELECT coalesce(sum(bytes), 0) FROM bus_partitions")
        .fetch_one(&mut *conn)
        .await?;
    let mut excess = total - bytes_max;
    let oldest: Vec<(i64, i64, i64)> =
        sqlx::query_as("SELECT id, bytes, at FROM bus_messages ORDER BY at, id LIMIT ?1")
            .bind(ROWS_MAX)
            .fetch_all(&mut *conn)
            .await?;
    let mut gone = Vec::new();
    for (id, bytes, at) in oldest {
        if at >= before.0 && excess <= 0 {
            break;
        }
        excess -= bytes;
        gone.push((id, bytes));
    }
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = gone.iter().map(|(id, _)| *id).collect();
    sqlx::query("DELETE FROM bus_messages WHERE id IN (SELECT value FROM json_each(?1))")
        .bind(json(&ids))
        .execute(&mut *conn)
        .await?;
    let mut starts = Vec::new();
    for slot in ids.iter().map(|id| slot_of(*id)).collect::<BTreeSet<_>>() {
        let removed: i64 = gone
            .iter()
            .filter(|(id, _)| slot_of(*id) == slot)
            .map(|(_, bytes)| bytes)
            .sum();
        starts.push((slot, shorten(conn, slot, removed).await?));
    }
    Ok(starts)
}

/// The partition begins at its oldest message that is left, or at its end.
async fn shorten(conn: &mut SqliteConnection, slot: Slot, removed: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "UPDATE bus_partitions
         SET bytes = bytes - ?2,
             first_offset = coalesce(
                 (SELECT min(id) - ?3 FROM bus_messages WHERE id >= ?3 AND id < ?4), next_offset)
         WHERE id = ?1
         RETURNING first_offset",
    )
    .bind(slot)
    .bind(removed)
    .bind(key(slot, 0))
    .bind(key(slot + 1, 0))
    .fetch_one(conn)
    .await
}
