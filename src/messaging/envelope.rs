//! Reads the messages of other services. The reason of a refusal names the field that is missing or
//! wrong. Leaves the meaning of the fields to the handlers.

use std::sync::Arc;

use serde_json::{Map, Value};
use trackops_domain::ids::{CommandId, OrderId};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::handler::Reason;
use super::parking::headers::SENT_AGAIN;
use crate::codec::message_id;
use crate::codec::messages::known_id;
use crate::codec::rfc3339;
use crate::codec::trace;
use crate::ports::bus::InMessage;

/// Code of a message that can't be read.
pub const MALFORMED: &str = "malformed";

/// The most characters of a time: many more than nanoseconds and an offset need.
const TIME_CHARS_MAX: usize = 64;

/// A message's JSON object.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Parses the value of `message`.
    pub fn of(message: &InMessage) -> Result<Self, Reason> {
        let payload = message.payload.as_deref().unwrap_or_default();
        if payload.is_empty() {
            return Err(malformed("the message has no value"));
        }
        match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(malformed("the value is not a JSON object")),
            Err(error) => Err(malformed(format!("the value is not JSON: {error}"))),
        }
    }

    /// A UUID that must be there.
    pub fn uuid(&self, name: &str) -> Result<Uuid, Reason> {
        let text = self.text(name, 64)?;
        Uuid::try_parse(text).map_err(|_| malformed(format!("{name} is not a UUID")))
    }

    /// Text that must be there, of 1 to `chars_max` characters without U+0000.
    pub fn text(&self, name: &str, chars_max: usize) -> Result<&str, Reason> {
        self.optional_text(name, chars_max)?
            .ok_or_else(|| malformed(format!("{name} is missing")))
    }

    /// Text that may be missing or null; if it is there, as [`Self::text`].
    pub fn optional_text(&self, name: &str, chars_max: usize) -> Result<Option<&str>, Reason> {
        let text = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => return Err(malformed(format!("{name} is not a string"))),
        };
        let chars = text.chars().count();
        if chars == 0 || chars > chars_max {
            return Err(malformed(format!(
                "{name} must have 1 to {chars_max} characters"
            )));
        }
        if text.contains('\0') {
            // Neither PostgreSQL's text nor its jsonb takes it.
            return Err(malformed(format!("{name} must not contain U+0000")));
        }
        Ok(Some(text))
    }

    /// A time (RFC 3339) that may be missing or null.
    pub fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, Reason> {
        let Some(text) = self.optional_text(name, TIME_CHARS_MAX)? else {
            return Ok(None);
        };
        let time = rfc3339::parse(text);
        time.map(Some)
            .ok_or_else(|| malformed(format!("{name} is not an RFC 3339 timestamp")))
    }

    /// A list that must be there.
    pub fn list(&self, name: &str) -> Result<&[Value], Reason> {
        match self.0.get(name) {
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(malformed(format!("{name} is not an array"))),
            None => Err(malformed(format!("{name} is missing"))),
        }
    }

    /// The order that `field` names. The key and the subject must name it too, if there are any.
    pub fn order(&self, field: &str, message: &InMessage) -> Result<OrderId, Reason> {
        let order = self.uuid(field)?;
        if let Some(key) = &message.key
            && parse_uuid(key) != Some(order)
        {
            return Err(malformed(format!("the key does not match {field}")));
        }
        if let Some(subject) = message.headers.get("ce_subject")
            && parse_uuid(subject) != Some(order)
        {
            return Err(malformed(format!("ce_subject does not match {field}")));
        }
        Ok(OrderId(order))
    }
}

/// The reason for a message that can't be read.
pub fn malformed(detail: impl Into<String>) -> Reason {
    Reason::new(MALFORMED, detail)
}

/// The order that a message seems to be about, by its key or, without a key, by its value.
pub fn order_of(message: &InMessage) -> Option<OrderId> {
    if let Some(key) = &message.key {
        return parse_uuid(key).map(OrderId);
    }
    let fields = Fields::of(message).ok()?;
    fields.uuid("orderId").ok().map(OrderId)
}

/// The id under which the order knows the message: derived from its `CloudEvents` id, or else from its
/// first topic, partition and offset. It is the same every time, also for a dead letter sent again.
pub fn command_id(order: OrderId, message: &InMessage) -> CommandId {
    let Some(id) = message.headers.get("ce_id").filter(|id| !id.is_empty()) else {
        let place = format!("{}/{}/{}", message.topic, message.partition, message.offset);
        let first_place = message.header(SENT_AGAIN).unwrap_or(&place);
        return CommandId(Uuid::new_v5(&order.0, first_place.as_bytes()));
    };
    if let Some(id) = std::str::from_utf8(id).ok().and_then(message_id::parse) {
        return known_id(order, id);
    }
    // Any text is an id, unique within its source (CloudEvents 1.0).
    let source = message
        .headers
        .get("ce_source")
        .cloned()
        .unwrap_or_default();
    let name = [&source[..], b"\n", &id[..]].concat();
    CommandId(Uuid::new_v5(&order.0, &name))
}

/// The trace context to pass on: the message's if it is well-formed, else a new one.
pub fn traceparent(message: &InMessage) -> Arc<str> {
    let plain = |text: &&str| {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        digits && text.len() == trace::LEN
    };
    match message.header("traceparent").filter(plain) {
        Some(text) => text.into(),
        None => trace::root(),
    }
}

fn parse_uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(bytes).ok()
}
