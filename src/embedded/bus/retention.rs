//! Retention: removes messages that are too old, and the oldest when there are too many bytes, whether they
//! were read or not.

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

/// The time between two cleanings: short compared to a day, and only some MiB too many pile up.
const EVERY: Duration = Duration::from_secs(30);
/// The most messages removed in one transaction, so that nobody waits long for the writer.
const ROWS_MAX: i64 = 1_000;

/// The limits of the messages that are kept.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Retention {
    /// Messages older than this are removed.
    pub(in super::super) age: Duration,
    /// When all topics together have more bytes than this, the oldest messages are removed.
    pub(in super::super) bytes: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_hours(24),
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

/// Removes the messages in steps.
pub(super) async fn clean(db: &Db, hub: &Arc<Hub>, clock: &dyn Clock, retention: Retention) {
    let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp(clock.now().0.saturating_sub(age));
    loop {
        let told = Arc::clone(hub);
        let step = db.writer.write_repeatable_then(
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

/// Removes messages in one step; returns the new beginnings of the partitions that lost some.
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

/// Sets the partition's beginning to its oldest message that is left, or to its end.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use std::sync::atomic::{AtomicI64, Ordering};

    use uuid::Uuid;

    use super::super::EmbeddedBus;
    use super::*;
    use crate::ports::bus::{Bus as _, OutMessage, Polled, Subscription};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }

        fn uuid_v7(&self) -> Uuid {
            Uuid::now_v7()
        }
    }

    const TOPIC: &str = "T";

    async fn publish(bus: &EmbeddedBus, count: usize, size: usize) {
        let message = |n: usize| OutMessage {
            topic: TOPIC.into(),
            key: n.to_string().into(),
            headers: Vec::new(),
            payload: vec![0; size].into(),
        };
        let results = bus.publish((0..count).map(message).collect()).await;
        assert!(results.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn the_oldest_go_by_age_and_by_size_and_consumers_go_on() {
        let dir = std::env::temp_dir().join(format!("trackops-{}", Uuid::now_v7().simple()));
        let clock = Arc::new(Hand(AtomicI64::new(1_000_000)));
        let db = Arc::new(Db::open(&dir).await.unwrap());
        let bus = EmbeddedBus::start(
            Arc::clone(&db),
            Arc::clone(&clock) as _,
            Retention::default(),
        )
        .await
        .unwrap();
        bus.create_topics(&[TOPIC.into()]).await.unwrap();
        let retention = Retention {
            age: Duration::from_secs(10),
            bytes: 60_000,
        };
        let clean = || clean(&db, &bus.hub, &*clock, retention);
        let left = async || bus.read(TOPIC, None, 10_000).await.unwrap().len();

        publish(&bus, 3_000, 1).await;
        clock.0.fetch_add(5_000, Ordering::Relaxed);
        publish(&bus, 40, 1_000).await;
        clean().await;
        assert_eq!(left().await, 3_040, "neither too old nor too much");
        clock.0.fetch_add(5_001, Ordering::Relaxed);
        clean().await;
        assert_eq!(left().await, 40, "the first are too old");

        publish(&bus, 40, 1_000).await;
        clean().await;
        let now = left().await;
        assert!((55..60).contains(&now), "{now} of about 1,000 bytes each");

        // A group that has read nothing begins with the oldest message that is left, and its lag counts only
        // those.
        let subscription = Subscription {
            group: "g".into(),
            topics: vec![TOPIC.into()],
            member: "a".into(),
        };
        let mut consumer = bus.subscribe(subscription).await.unwrap();
        let polled = consumer.poll(10, Duration::from_secs(20)).await.unwrap();
        let Polled::Messages(messages) = polled else {
            panic!("{polled:?}");
        };
        let lag: u64 = consumer.lag().await.unwrap().values().sum();
        assert_eq!(messages.len() + usize::try_from(lag).unwrap(), now);
        drop(consumer);
        db.close().await;
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
