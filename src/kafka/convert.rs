//! Converts between the port's messages and librdkafka's.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};

use crate::ports::bus::{InMessage, OutMessage, RawMessage, header_name};

/// Our own message in the general form. An empty key becomes no key: otherwise every such message would
/// go to one partition.
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

/// Copies a message that librdkafka has received, under the topic's name without prefix. One allocation
/// holds key, headers and value.
pub(super) fn received(message: &BorrowedMessage<'_>, topic: Arc<str>) -> InMessage {
    let headers = message.headers();
    let headers = || headers.into_iter().flat_map(Headers::iter);
    let value_of = |header: Header<'_, &[u8]>| header.value.map_or(0, <[u8]>::len);
    let (key, payload) = (message.key(), message.payload());
    let bytes = key.map_or(0, <[u8]>::len)
        + payload.map_or(0, <[u8]>::len)
        + headers().map(value_of).sum::<usize>();
    let mut whole = BytesMut::with_capacity(bytes);
    let mut copy = |part: &[u8]| {
        let start = whole.len();
        whole.extend_from_slice(part);
        start..whole.len()
    };
    let (key, payload) = (key.map(&mut copy), payload.map(&mut copy));
    let values: Vec<_> = headers()
        .map(|header| {
            (
                header_name(header.key),
                copy(header.value.unwrap_or_default()),
            )
        })
        .collect();
    let whole = whole.freeze();
    let part = |range| whole.slice(range);
    InMessage {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        key: key.map(part),
        headers: values
            .into_iter()
            .map(|(name, range)| (name, part(range)))
            .collect(),
        payload: payload.map(part),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
    }
}
