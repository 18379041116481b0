//! Opaque cursors: where a page ended, in hexadecimal. Clients pass them back unread.

use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::admin::dead_letter_admin::DeadLetterId;
use super::problem::Problem;
use super::problem_code::Code;
use crate::codec::rfc3339;

/// The longest cursor, in bytes before encoding: a SKU, or a dead letter of the topic with the longest name.
const BYTES_MAX: usize = 96;

/// The longest cursor as it is sent.
pub const CHARS_MAX: usize = 2 * BYTES_MAX;

/// Bytes of an order's cursor: milliseconds and id.
const ORDER_BYTES: usize = 8 + 16;

/// The cursor after the order placed at `created_at`.
pub fn of_order(created_at: Timestamp, id: OrderId) -> String {
    let mut bytes = [0; ORDER_BYTES];
    bytes[..8].copy_from_slice(&created_at.0.to_be_bytes());
    bytes[8..].copy_from_slice(id.0.as_bytes());
    encode(&bytes)
}

/// Reads a cursor of [`of_order`].
pub fn order(text: &str) -> Result<(Timestamp, OrderId), Problem> {
    let bytes: [u8; ORDER_BYTES] = decode(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(invalid)?;
    let (millis, id) = bytes.split_at(8);
    let millis = millis.try_into().map_err(|_| invalid())?;
    let id = Uuid::from_slice(id).map_err(|_| invalid())?;
    // A time that a list can't have shown may also be one that the database doesn't have.
    let at = Some(Timestamp(i64::from_be_bytes(millis))).filter(|at| rfc3339::can_write(*at));
    Ok((at.ok_or_else(invalid)?, OrderId(id)))
}

/// The cursor after the item `sku`.
pub fn of_sku(sku: &Sku) -> String {
    encode(sku.as_str().as_bytes())
}

/// Reads a cursor of [`of_sku`].
pub fn sku(text: &str) -> Result<Sku, Problem> {
    decode(text)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| Sku::parse(&text))
        .ok_or_else(invalid)
}

/// The cursor after the key `id`.
pub fn of_key(id: &str) -> String {
    encode(id.as_bytes())
}

/// Reads a cursor of [`of_key`].
pub fn key(text: &str) -> Result<String, Problem> {
    let id = decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let is_id = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    id.filter(is_id).ok_or_else(invalid)
}

/// The cursor before what is numbered `number`: an adjustment or an audit entry.
pub fn before_number(number: i64) -> String {
    encode(&number.to_be_bytes())
}

/// Reads a cursor of [`before_number`].
pub fn number(text: &str) -> Result<i64, Problem> {
    let bytes = decode(text).and_then(|bytes| bytes.try_into().ok());
    bytes.map(i64::from_be_bytes).ok_or_else(invalid)
}

/// The cursor after the dead letter `id`.
pub fn after_letter(id: &DeadLetterId) -> String {
    let next = DeadLetterId {
        offset: id.offset.saturating_add(1),
        ..id.clone()
    };
    encode(next.to_string().as_bytes())
}

/// Reads a cursor of [`after_letter`].
pub fn letter(text: &str) -> Result<DeadLetterId, Problem> {
    let place = decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let mut parts = place.as_deref().unwrap_or_default().splitn(3, '/');
    let mut part = || parts.next().ok_or_else(invalid);
    Ok(DeadLetterId {
        topic: part()?.to_owned(),
        partition: part()?.parse().map_err(|_| invalid())?,
        offset: part()?.parse().map_err(|_| invalid())?,
    })
}

fn invalid() -> Problem {
    Problem::new(
        Code::InvalidCursor,
        "cursor must be the nextCursor of a page",
    )
}

fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > CHARS_MAX {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    digits
        .chunks_exact(2)
        .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let id = OrderId(Uuid::from_u128(0x0190_a5c2_7b1e_7cc3_98c4_dc0c_0c07_398f));
        let at = Timestamp(1_767_225_600_123);
        assert_eq!(order(&of_order(at, id)).expect("ours"), (at, id));
        let pizza = Sku::parse("PIZZA-MARGHERITA").expect("a SKU");
        assert_eq!(sku(&of_sku(&pizza)).expect("ours"), pizza);
    }
}
