//! Publishing: every message of a call in one statement. Keys, headers and values travel as one
//! blob with a list of lengths, so that arbitrary bytes need no encoding.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use sqlx::sqlite::SqliteConnection;
use trackops_domain::time::Timestamp;

use super::super::error::WriteError;
use super::super::text::json;
use super::assign::Slot;
use super::embedded_bus::EmbeddedBus;
use super::headers;
use super::hub::Hub;
use super::rows::key;
use crate::ports::bus::{MESSAGE_BYTES_MAX, OutMessage, PublishError, RawMessage};

/// `?1` is a list of [key, position of the message in the blob (from 1), lengths of message key,
/// headers and value], `?2` the blob. A length that is null makes the value null.
const INSERT: &str = "
    INSERT INTO bus_messages (id, at, bytes, key, headers, payload)
    SELECT id, ?3, bytes, substr(?2, start, key),
           substr(?2, start + coalesce(key, 0), headers),
           substr(?2, start + coalesce(key, 0) + headers, payload)
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS bytes, value ->> 2 AS start,
                 value ->> 3 AS key, value ->> 4 AS headers, value ->> 5 AS payload
          FROM json_each(?1))";

const ADVANCE: &str = "
    UPDATE bus_partitions SET next_offset = j.value ->> 1, bytes = bytes + (j.value ->> 2)
    FROM json_each(?1) j WHERE bus_partitions.id = j.value ->> 0";

/// A message of either of the port's publish calls.
pub(super) struct Message<'m> {
    pub(super) topic: &'m Arc<str>,
    pub(super) key: Option<&'m [u8]>,
    pub(super) headers: Vec<(&'m str, &'m [u8])>,
    pub(super) payload: Option<&'m [u8]>,
}

impl<'m> Message<'m> {
    pub(super) fn of(message: &'m OutMessage) -> Self {
        let headers = message.headers.iter();
        Self {
            topic: &message.topic,
            key: (!message.key.is_empty()).then_some(message.key.as_bytes()),
            headers: headers
                .map(|(name, value)| (*name, value.as_bytes()))
                .collect(),
            payload: Some(&message.payload),
        }
    }

    pub(super) fn of_raw(message: &'m RawMessage) -> Self {
        let headers = message.headers.iter();
        Self {
            topic: &message.topic,
            key: message.key.as_deref(),
            headers: headers.map(|(name, value)| (&**name, &**value)).collect(),
            payload: message.payload.as_deref(),
        }
    }
}

/// A message in the blob.
#[derive(Clone, Copy, Debug)]
struct Packed {
    slot: Slot,
    start: usize,
    bytes: usize,
    key: Option<usize>,
    headers: usize,
    payload: Option<usize>,
}

/// Why a message is refused before it is written.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no topic {0}")]
    NoTopic(Arc<str>),
    #[error("{bytes} bytes are more than {MESSAGE_BYTES_MAX}")]
    TooLarge { bytes: usize },
}

pub(super) async fn publish(
    bus: &EmbeddedBus,
    messages: &[Message<'_>],
) -> Vec<Result<(), PublishError>> {
    // The blob is never empty: SQLite can't take even an empty part of an empty blob.
    let mut blob = vec![0];
    let mut packed = Vec::with_capacity(messages.len());
    let refusals: Vec<Option<Refusal>> = messages
        .iter()
        .map(|message| match pack(bus, message, &mut blob) {
            Ok(place) => {
                packed.push(place);
                None
            }
            Err(refusal) => Some(refusal),
        })
        .collect();
    let written = if packed.is_empty() {
        Ok(())
    } else {
        write(bus, packed, blob).await
    };
    refusals
        .into_iter()
        .map(|refusal| match (refusal, &written) {
            (Some(refusal), _) => Err(PublishError::Refused(refusal.into())),
            (None, Ok(())) => Ok(()),
            (None, Err(error @ WriteError::Refused(_))) => {
                Err(PublishError::Refused(error.clone().into()))
            }
            (None, Err(error)) => Err(PublishError::Unavailable(error.clone().into())),
        })
        .collect()
}

/// Which of `partitions` the messages with `key` are in.
pub(super) fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash = xxhash_rust::xxh3::xxh3_64(key);
    // The remainder is less than the number of partitions.
    usize::try_from(hash % partitions.max(1) as u64).unwrap_or(0)
}

/// Appends `message` to `blob`, unless it is refused.
fn pack(bus: &EmbeddedBus, message: &Message<'_>, blob: &mut Vec<u8>) -> Result<Packed, Refusal> {
    let partitions = bus.hub.topic(message.topic);
    if partitions.is_empty() {
        return Err(Refusal::NoTopic(Arc::clone(message.topic)));
    }
    let place = match message.key {
        None => bus.keyless.fetch_add(1, Ordering::Relaxed) % partitions.len(),
        Some(key) => partition_of(key, partitions.len()),
    };
    let before = blob.len();
    blob.extend_from_slice(message.key.unwrap_or_default());
    let headers_at = blob.len();
    headers::write(&message.headers, blob);
    let headers = blob.len() - headers_at;
    blob.extend_from_slice(message.payload.unwrap_or_default());
    let bytes = blob.len() - before;
    if bytes > MESSAGE_BYTES_MAX {
        blob.truncate(before);
        return Err(Refusal::TooLarge { bytes });
    }
    Ok(Packed {
        slot: partitions[place].slot,
        start: before + 1,
        bytes,
        key: message.key.map(<[u8]>::len),
        headers,
        payload: message.payload.map(<[u8]>::len),
    })
}

async fn write(bus: &EmbeddedBus, packed: Vec<Packed>, blob: Vec<u8>) -> Result<(), WriteError> {
    let now = bus.clock.now();
    let hub: Arc<Hub> = Arc::clone(&bus.hub);
    let written = bus.db.writer.write_repeatable_then(
        move |conn| async move { insert(conn, &packed, blob, now).await }.boxed(),
        move |ends: &Vec<(Slot, i64)>| hub.advance(ends),
    );
    written.await.map(drop)
}

/// Gives offsets and inserts; returns the new ends of the partitions.
async fn insert(
    conn: &mut SqliteConnection,
    packed: &[Packed],
    blob: Vec<u8>,
    now: Timestamp,
) -> sqlx::Result<Vec<(Slot, i64)>> {
    let mut added = BTreeMap::<Slot, usize>::new();
    for message in packed {
        *added.entry(message.slot).or_default() += message.bytes;
    }
    let slots: Vec<Slot> = added.keys().copied().collect();
    let mut next: BTreeMap<Slot, i64> = sqlx::query_as::<_, (Slot, i64)>(
        "SELECT id, next_offset FROM bus_partitions
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json(&slots))
    .fetch_all(&mut *conn)
    .await?
    .into_iter()
    .collect();
    let rows: Vec<_> = packed
        .iter()
        .map(|message| {
            let offset = next.entry(message.slot).or_default();
            let id = key(message.slot, *offset);
            *offset += 1;
            let (start, bytes) = (message.start, message.bytes);
            (
                id,
                bytes,
                start,
                message.key,
                message.headers,
                message.payload,
            )
        })
        .collect();
    sqlx::query(INSERT)
        .bind(json(&rows))
        .bind(blob)
        .bind(now.0)
        .execute(&mut *conn)
        .await?;
    let ends: Vec<(Slot, i64, usize)> = next
        .iter()
        .map(|(slot, end)| (*slot, *end, added.get(slot).copied().unwrap_or(0)))
        .collect();
    sqlx::query(ADVANCE).bind(json(&ends)).execute(conn).await?;
    Ok(next.into_iter().collect())
}
