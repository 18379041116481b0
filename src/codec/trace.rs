//! Trace contexts (W3C Trace Context, `traceparent`). Every message carries one, even if the request had
//! none, so that everything caused by one request can be found.

use std::sync::Arc;

/// Length of a `traceparent` of version 00.
pub const LEN: usize = 55;

/// A new context, made where work enters the program. It is marked as not sampled, because no spans are
/// recorded.
pub fn root() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // All zeros would mean "none" in either id, so one bit is always set; one random bit less doesn't matter.
    let (trace, parent) = (rand::random::<u128>() | 1, rand::random::<u64>() | 1);
    for (at, digit) in text[3..35].iter_mut().rev().enumerate() {
        *digit = DIGITS[(trace >> (4 * at) & 0xf) as usize];
    }
    for (at, digit) in text[36..52].iter_mut().rev().enumerate() {
        *digit = DIGITS[(parent >> (4 * at) & 0xf) as usize];
    }
    // Digits and hyphens are always UTF-8.
    std::str::from_utf8(&text).unwrap_or_default().into()
}
