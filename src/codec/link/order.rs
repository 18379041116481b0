//! Whole orders, statuses and positions on a link.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trackops_cluster::Epoch;
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;

use super::envelope::LinkFormError;
use crate::codec::stored;
use crate::model::event_row::EventRow;
use crate::model::position::Position;

/// An order as its row and its events are stored.
#[derive(Serialize, Deserialize)]
pub(super) struct OrderV1 {
    id: uuid::Uuid,
    saga: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
    events: Vec<EventV1>,
}

#[derive(Serialize, Deserialize)]
struct EventV1 {
    version: u32,
    at: i64,
    by: Arc<str>,
    command: uuid::Uuid,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct PositionV1 {
    lat: f64,
    lon: f64,
    at: i64,
}

impl OrderV1 {
    pub(super) fn of(order: &Order) -> Self {
        let events = stored::event_rows(order).into_iter().map(|row| EventV1 {
            version: row.version.0,
            at: row.at.0,
            by: row.by,
            command: row.command.0,
            status: row.status.as_str().into(),
            data: row.data.map(raw),
        });
        Self {
            id: order.id.0,
            saga: raw(stored::saga(order)),
            deadline: order.saga.deadline.map(|deadline| deadline.0),
            events: events.collect(),
        }
    }

    pub(super) fn read(self) -> Result<Arc<Order>, LinkFormError> {
        let rows = self.events.into_iter().map(|event| {
            Ok(EventRow {
                version: Version(event.version),
                epoch: Epoch(0),
                at: Timestamp(event.at),
                by: event.by,
                command: CommandId(event.command),
                status: status(&event.status)?,
                data: event.data.map(|data| bytes_of(&data)),
            })
        });
        let rows = rows.collect::<Result<Vec<_>, LinkFormError>>()?;
        let deadline = self.deadline.map(Timestamp);
        let saga = self.saga.get().as_bytes();
        stored::assemble(OrderId(self.id), saga, deadline, &rows)
            .map(Arc::new)
            .map_err(|error| {
                tracing::warn!(order = %self.id, %error, "another replica's order can't be read");
                LinkFormError::Impossible("order")
            })
    }
}

impl PositionV1 {
    pub(super) fn of(position: Position) -> Self {
        Self {
            lat: position.lat,
            lon: position.lon,
            at: position.at.0,
        }
    }

    pub(super) fn read(self) -> Position {
        Position {
            lat: self.lat,
            lon: self.lon,
            at: Timestamp(self.at),
        }
    }
}

pub(super) fn status(name: &str) -> Result<Status, LinkFormError> {
    Status::parse(name).ok_or(LinkFormError::Impossible("status"))
}

/// JSON that this code has written, as it is.
pub(super) fn raw(json: Bytes) -> Box<RawValue> {
    String::from_utf8(json.into())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}

pub(super) fn bytes_of(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}
