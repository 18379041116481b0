//! Between the port's messages and librdkafka's.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};

use crate::ports::bus::{InMessage, OutMessage, RawMessage};

/// Ours as any other message. An empty key is no key: it would put every such message into one
/// partition.
pub(super) fn raw(message: OutMessage) -> RawMessage {
    RawMessage {
        key: (!message.key.is_empty()).then(|| Bytes::copy_from_slice(message.key.as_bytes())),
        headers: message
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
        payload: Some(message.payload),
        topic: message.topic,
    }
}

/// Headers for the broker.
pub(super) fn headers(message: &RawMessage) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(message.headers.len());
    message.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(&**value),
        })
    })
}

/// A copy of what librdkafka has received, under the topic's name without prefix.
pub(super) fn received(message: &BorrowedMessage<'_>, topic: Arc<str>) -> InMessage {
    let headers = message
        .headers()
        .map(|headers| {
            headers
                .iter()
                .map(|header| {
                    let value = header.value.unwrap_or_default();
                    (header.key.to_owned(), Bytes::copy_from_slice(value))
                })
                .collect()
        })
        .unwrap_or_default();
    InMessage {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        headers,
        payload: message.payload().map(Bytes::copy_from_slice),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}
