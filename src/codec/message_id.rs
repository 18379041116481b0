//! The id of a published message: a UUIDv7 (RFC 9562) computed from the change that it reports. So a repeat
//! has the same id, whichever replica sends it.

use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

/// The publisher. It is part of the id, so that messages of orders and of the inventory never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Publisher {
    /// The order role.
    Order = 1,
    /// The inventory role.
    Inventory = 2,
}

/// The id of message `ordinal` of `version` of `order`, first decided at `at`.
pub fn message_id(
    publisher: Publisher,
    order: OrderId,
    version: u32,
    ordinal: u16,
    at: Timestamp,
) -> MessageId {
    let mut key = [0_u8; 23];
    key[0] = publisher as u8;
    key[1..17].copy_from_slice(order.0.as_bytes());
    key[17..21].copy_from_slice(&version.to_be_bytes());
    key[21..23].copy_from_slice(&ordinal.to_be_bytes());
    let hash = xxhash_rust::xxh3::xxh3_128(&key).to_be_bytes();
    let mut random = [0_u8; 10];
    random.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(at.0).unwrap_or(0);
    MessageId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// Parses an id as it came in a header.
pub fn parse(text: &str) -> Option<MessageId> {
    Uuid::try_parse(text).ok().map(MessageId)
}
