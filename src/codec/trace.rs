//! Trace contexts (W3C Trace Context, `traceparent`). Every message carries one, also where the request
//! had none: what followed from one request can then be found by it.

use std::sync::Arc;

/// Length of a `traceparent` of version 00.
pub const LEN: usize = 55;

/// A context that begins here, at whatever brings work in. Not sampled: nobody records spans.
pub fn root() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // All zero means "none" in both; one bit less of chance doesn't matter.
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
