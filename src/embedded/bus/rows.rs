//! The bus' tables. A message's key is `partition id << 40 | offset`: a partition is one range of
//! the table, with room for 2^40 messages.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::super::error::corrupt;
use super::super::text::json;
use super::assign::Slot;
use super::headers;
use super::hub::Partition;
use crate::ports::bus::InMessage;

/// Bits of a message's key that are its offset.
const OFFSET_BITS: u32 = 40;
const FETCH: &str = "
    SELECT id, at, key, headers, payload FROM bus_messages
    WHERE id >= ?1 AND id < ?2
    ORDER BY id
    LIMIT ?3";

/// The key of a message.
pub(super) const fn key(slot: Slot, offset: i64) -> i64 {
    (slot << OFFSET_BITS) | offset
}

/// The partition of a message's key.
pub(super) const fn slot_of(key: i64) -> Slot {
    key >> OFFSET_BITS
}

/// The partitions of `topics`, or of all topics if none is named.
pub(super) async fn partitions(
    conn: &mut SqliteConnection,
    topics: &[Arc<str>],
) -> sqlx::Result<Vec<Partition>> {
    let rows: Vec<(i64, String, i32, i64, i64)> = sqlx::query_as(
        "SELECT id, topic, partition, first_offset, next_offset FROM bus_partitions
         WHERE ?1 = '[]' OR topic IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&topics))
    .fetch_all(conn)
    .await?;
    let partition = |(slot, topic, number, first, next): (i64, String, i32, i64, i64)| Partition {
        slot,
        topic: topic.into(),
        number,
        first,
        next,
    };
    Ok(rows.into_iter().map(partition).collect())
}

/// Creates those of `topics` that are missing; returns the partitions of all of them.
pub(super) async fn create_topics(
    conn: &mut SqliteConnection,
    topics: &[Arc<str>],
    count: i32,
) -> sqlx::Result<Vec<Partition>> {
    let numbers: Vec<i32> = (0..count).collect();
    sqlx::query(
        "INSERT INTO bus_partitions (topic, partition)
         SELECT t.value, p.value FROM json_each(?1) t, json_each(?2) p
         WHERE true
         ON CONFLICT (topic, partition) DO NOTHING",
    )
    .bind(json(&topics))
    .bind(json(&numbers))
    .execute(&mut *conn)
    .await?;
    partitions(conn, topics).await
}

/// Adds messages of `partition` from `offset` on to `into`, within a limit on their number and, after the
/// first one, on the bytes of their values. Returns how many bytes came.
pub(super) async fn fetch(
    reads: &SqlitePool,
    partition: &Partition,
    offset: i64,
    (limit, bytes_max): (usize, usize),
    into: &mut Vec<InMessage>,
) -> sqlx::Result<usize> {
    let mut bytes = 0;
    let mut rows = sqlx::query(FETCH)
        .bind(key(partition.slot, offset.max(0)))
        .bind(key(partition.slot + 1, 0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(reads);
    while let Some(row) = rows.try_next().await? {
        let message = message(&row, partition)?;
        bytes += message.payload.as_ref().map_or(0, Bytes::len);
        into.push(message);
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(bytes)
}

fn message(row: &SqliteRow, partition: &Partition) -> sqlx::Result<InMessage> {
    let id: i64 = row.try_get(0)?;
    let own = |bytes: Option<Vec<u8>>| bytes.map(Bytes::from);
    let headers = headers::read(&Bytes::from(row.try_get::<Vec<u8>, _>(3)?));
    Ok(InMessage {
        topic: Arc::clone(&partition.topic),
        partition: partition.number,
        offset: id - key(partition.slot, 0),
        key: own(row.try_get(2)?),
        headers: headers.ok_or_else(|| corrupt("headers"))?,
        payload: own(row.try_get(4)?),
        timestamp_ms: row.try_get(1)?,
    })
}

/// The committed offsets of `group` for `slots`.
pub(super) async fn committed(
    reads: &SqlitePool,
    group: &str,
    slots: &[Slot],
) -> sqlx::Result<Vec<(Slot, i64)>> {
    sqlx::query_as(
        "SELECT partition_id, next_offset FROM bus_offsets
         WHERE consumers = ?1 AND partition_id IN (SELECT value FROM json_each(?2))",
    )
    .bind(group)
    .bind(json(&slots))
    .fetch_all(reads)
    .await
}

/// Commits offsets of `group`.
pub(super) async fn commit(
    conn: &mut SqliteConnection,
    group: &str,
    offsets: &[(Slot, i64)],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO bus_offsets (consumers, partition_id, next_offset)
         SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2)
         WHERE true
         ON CONFLICT (consumers, partition_id) DO UPDATE SET next_offset = excluded.next_offset",
    )
    .bind(group)
    .bind(json(&offsets))
    .execute(conn)
    .await
    .map(drop)
}
