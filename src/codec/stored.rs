//! The stored forms: an event's data, a row's saga, and putting an order together from them. Each form
//! carries its version `v`. Within a version fields are only added, and only such as an older reader may
//! ignore. A form of another version is refused. Old forms stay readable and stay in the tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use thiserror::Error;
use trackops_cluster::Epoch;
use trackops_domain::event::{Change, OrderEvent};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, CourierId, OrderId, Version};
use trackops_domain::invariants::{Invariant, check_log};
use trackops_domain::order::{LogEntry, Order, Remembered};
use trackops_domain::saga::{Saga, Stock};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::content::ContentV1;
use crate::model::event_row::EventRow;
use crate::telemetry;

/// A stored form that can't be understood.
#[derive(Debug, Error)]
pub enum StoredError {
    /// The value is not the expected JSON.
    #[error("unreadable {what}")]
    Json {
        /// Which form.
        what: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The form has a version that this program doesn't read.
    #[error("version {v} of {what}, which this program doesn't know")]
    Version {
        /// Which form.
        what: &'static str,
        /// Its version.
        v: u64,
    },
    /// The value is readable, but impossible.
    #[error("impossible {0}")]
    Impossible(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedV1 {
    v: VersionOne,
    content: ContentV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_hash: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ReasonV1 {
    v: VersionOne,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CourierV1 {
    v: VersionOne,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    courier_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SagaV1 {
    v: VersionOne,
    stock: String,
    asked_again: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    remembered: Vec<(uuid::Uuid, u32)>,
    /// Hashes of the remembered commands' contents, by command id. They are kept apart from the commands, so
    /// that an older replica can read the rest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    asked: BTreeMap<uuid::Uuid, uuid::Uuid>,
}

/// The version that this code writes, and the only one so far that it reads.
const VERSION: u8 = 1;

/// [`VERSION`] as a form's field `v`.
struct VersionOne;

impl Serialize for VersionOne {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(VERSION)
    }
}

impl<'de> Deserialize<'de> for VersionOne {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            VERSION => Ok(Self),
            v => Err(D::Error::custom(format_args!("version {v}"))),
        }
    }
}

/// The stored row of `event`. It has no epoch: an append uses the order's.
pub fn event_row(event: &OrderEvent) -> EventRow {
    EventRow {
        version: event.version,
        epoch: Epoch(0),
        at: event.at,
        by: Arc::clone(&event.by),
        command: event.command,
        status: event.change.status(),
        data: change_data(&event.change),
    }
}

/// The data column of an event; `None` if status, time and author say everything.
pub fn change_data(change: &Change) -> Option<Bytes> {
    match change {
        Change::Placed { content, body_hash } => Some(to_json(&PlacedV1 {
            v: VersionOne,
            content: ContentV1::of(content),
            body_hash: body_hash.as_ref().map(|hash| hex(hash)),
        })),
        Change::Rejected { reason } | Change::Cancelled { reason } => Some(to_json(&ReasonV1 {
            v: VersionOne,
            reason: (&**reason).into(),
        })),
        Change::Preparing { courier } | Change::InTransit { courier } => {
            courier.as_ref().map(|courier| {
                to_json(&CourierV1 {
                    v: VersionOne,
                    courier_id: Some(courier.as_str().into()),
                })
            })
        }
        Change::Confirmed | Change::Delivered => None,
    }
}

/// The saga column of an order's row.
pub fn saga(order: &Order) -> Bytes {
    to_json(&SagaV1 {
        v: VersionOne,
        stock: order.saga.stock.as_str().into(),
        asked_again: order.saga.asked_again,
        remembered: order
            .remembered
            .iter()
            .map(|known| (known.command.0, known.version.0))
            .collect(),
        asked: order
            .remembered
            .iter()
            .filter_map(|known| Some((known.command.0, known.asked?)))
            .collect(),
    })
}

/// The events of `order` as they are stored, oldest first; their epochs are left out.
pub fn event_rows(order: &Order) -> Vec<EventRow> {
    let change = |entry: &LogEntry| {
        let reason = || entry.reason.clone().unwrap_or_default();
        match entry.status {
            Status::Pending => Change::Placed {
                content: Arc::clone(&order.placed),
                body_hash: order.body_hash,
            },
            Status::Confirmed => Change::Confirmed,
            Status::Preparing => Change::Preparing {
                courier: entry.courier.clone(),
            },
            Status::InTransit => Change::InTransit {
                courier: entry.courier.clone(),
            },
            Status::Delivered => Change::Delivered,
            Status::Rejected => Change::Rejected { reason: reason() },
            Status::Cancelled => Change::Cancelled { reason: reason() },
        }
    };
    let rows = (1..).zip(&order.log).map(|(version, entry)| {
        event_row(&OrderEvent {
            order: order.id,
            version: Version(version),
            at: entry.at,
            by: Arc::clone(&entry.by),
            command: entry.command,
            change: change(entry),
        })
    });
    rows.collect()
}

/// Puts an order together from its row and its events, oldest first.
pub fn assemble(
    id: OrderId,
    saga_json: &[u8],
    deadline: Option<Timestamp>,
    events: &[EventRow],
) -> Result<Order, StoredError> {
    let stored: SagaV1 = from_json(saga_json, "saga")?;
    let saga = Saga {
        stock: Stock::parse(&stored.stock).ok_or(StoredError::Impossible("stock state"))?,
        deadline,
        asked_again: stored.asked_again,
    };
    check(id, events);
    let (first, later) = events
        .split_first()
        .ok_or(StoredError::Impossible("order without events"))?;
    let placed = event(id, first)?;
    let mut order =
        Order::from_placed(&placed, saga).ok_or(StoredError::Impossible("first event"))?;
    for row in later {
        order = evolve(order, &event(id, row)?);
    }
    // The saga comes from the row, which is newer than the last event: bookkeeping changes the row alone.
    order.saga = saga;
    order.remembered = stored
        .remembered
        .into_iter()
        .map(|(id, version)| Remembered {
            command: CommandId(id),
            version: Version(version),
            asked: stored.asked.get(&id).copied(),
        })
        .collect::<SmallVec<_>>();
    Ok(order)
}

/// Checks invariants I1, I2 and I4 on every log that is read. A broken log is counted, and shown as far as it
/// makes sense, because refusing it would help nobody.
fn check(id: OrderId, events: &[EventRow]) {
    let log: SmallVec<[_; 8]> = events
        .iter()
        .map(|event| (event.version, event.status))
        .collect();
    if let Err(invariant) = check_log(&log) {
        telemetry::violated(invariant, &format!("order {id}: stored log {log:?}"));
    }
    if !events.is_sorted_by_key(|event| event.epoch) {
        let detail = format!("order {id}: an event under an older epoch");
        telemetry::violated(Invariant::Fenced, &detail);
    }
}

fn event(order: OrderId, row: &EventRow) -> Result<OrderEvent, StoredError> {
    let data = row.data.as_deref().unwrap_or(b"null");
    let change = match row.status {
        Status::Pending => {
            let placed: PlacedV1 = from_json(data, "placed event")?;
            let body_hash = placed.body_hash.as_deref().map(unhex).transpose()?;
            let content = placed
                .content
                .accepted()
                .map_err(|_| StoredError::Impossible("order content"))?;
            Change::Placed {
                content: Arc::new(content),
                body_hash,
            }
        }
        Status::Confirmed => Change::Confirmed,
        Status::Preparing => Change::Preparing {
            courier: courier(data)?,
        },
        Status::InTransit => Change::InTransit {
            courier: courier(data)?,
        },
        Status::Delivered => Change::Delivered,
        Status::Rejected => Change::Rejected {
            reason: reason(data)?,
        },
        Status::Cancelled => Change::Cancelled {
            reason: reason(data)?,
        },
    };
    Ok(OrderEvent {
        order,
        version: row.version,
        at: row.at,
        by: Arc::clone(&row.by),
        command: row.command,
        change,
    })
}

fn reason(data: &[u8]) -> Result<Box<str>, StoredError> {
    Ok(from_json::<ReasonV1>(data, "reason")?.reason.into())
}

/// The courier of an event, which has no data if it names none.
fn courier(data: &[u8]) -> Result<Option<CourierId>, StoredError> {
    let stored: Option<CourierV1> = from_json(data, "courier")?;
    let name = stored.and_then(|stored| stored.courier_id);
    let parse = |name: String| CourierId::parse(&name).ok_or(StoredError::Impossible("courier"));
    name.map(parse).transpose()
}

fn from_json<T: DeserializeOwned>(json: &[u8], what: &'static str) -> Result<T, StoredError> {
    serde_json::from_slice(json).map_err(|source| unreadable(json, what, source))
}

/// Why a form can't be read: a newer one may lack what this version's has, so its version is looked at first.
#[cold]
fn unreadable(json: &[u8], what: &'static str, source: serde_json::Error) -> StoredError {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    match serde_json::from_slice(json) {
        Ok(Versioned { v }) if v != u64::from(VERSION) => StoredError::Version { what, v },
        _ => StoredError::Json { what, source },
    }
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Writing plain structs of strings and numbers to memory has no way to fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String has no way to fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

pub(super) fn unhex(text: &str) -> Result<[u8; 32], StoredError> {
    let mut bytes = [0_u8; 32];
    let digits = text.as_bytes().chunks_exact(2);
    if text.len() != 64 || !text.is_ascii() {
        return Err(StoredError::Impossible("body hash"));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).map_err(|_| StoredError::Impossible("body hash"))?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
