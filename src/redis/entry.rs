//! The stored form of a cached view: 19 digits of generation, 10 of version, one for final, then the
//! view. Digits of fixed width compare as text the way (generation, version) compares as numbers,
//! which is all that the script has to do, and they can be read with `redis-cli`.

use bytes::Bytes;
use trackops_domain::ids::{OrderId, Version};

use crate::ports::cache::CacheEntry;

/// Digits that decide which of two entries is newer; the script compares this many bytes.
pub(super) const RANK_BYTES: usize = 29;
/// Rank and the digit for final.
const HEADER_BYTES: usize = RANK_BYTES + 1;
/// Seconds that the view of a live order is kept: longer than any order lives.
const TTL_LIVE_S: u64 = 24 * 60 * 60;
/// Seconds that a final order's view is kept: people look at it for a while, then rarely.
const TTL_FINAL_S: u64 = 60 * 60;

/// Writes the stored form of `entry` over `buffer`.
pub(super) fn write(entry: &CacheEntry, buffer: &mut Vec<u8>) {
    use std::io::Write;
    buffer.clear();
    let generation = entry.generation.max(0);
    let last = u8::from(entry.is_final);
    // Writing to a Vec has no way to fail.
    let _ = write!(buffer, "{generation:019}{:010}{last}", entry.version.0);
    buffer.extend_from_slice(&entry.view);
}

/// Reads the stored form; `None` for bytes that this version didn't write.
pub(super) fn read(order: OrderId, stored: Vec<u8>) -> Option<CacheEntry> {
    let header = std::str::from_utf8(stored.get(..HEADER_BYTES)?).ok()?;
    Some(CacheEntry {
        order,
        generation: header.get(..19)?.parse().ok()?,
        version: Version(header.get(19..RANK_BYTES)?.parse().ok()?),
        is_final: header.ends_with('1'),
        view: Bytes::from(stored).slice(HEADER_BYTES..),
    })
}

/// Seconds to keep `entry`, ±10 % by the order's id, so that what was written together doesn't
/// expire together.
pub(super) fn ttl_s(entry: &CacheEntry) -> u64 {
    let base = if entry.is_final {
        TTL_FINAL_S
    } else {
        TTL_LIVE_S
    };
    // The last bytes of an id are random (v7) or a hash (v5).
    let spread = u64::from(entry.order.0.as_bytes()[15]);
    base * 9 / 10 + base * spread / (5 * 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: i64, version: u32, last_byte: u8) -> CacheEntry {
        let mut id = [7; 16];
        id[15] = last_byte;
        CacheEntry {
            order: OrderId(uuid::Uuid::from_bytes(id)),
            version: Version(version),
            generation,
            is_final: true,
            view: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn ranks_compare_as_text_like_numbers_and_come_back() {
        let mut before: Option<Vec<u8>> = None;
        for (generation, version) in [(0, 9), (9, 2), (9, 10), (10, 1), (i64::MAX, u32::MAX)] {
            let entry = entry(generation, version, 0);
            let mut stored = Vec::new();
            write(&entry, &mut stored);
            if let Some(before) = before {
                assert!(before[..RANK_BYTES] < stored[..RANK_BYTES]);
            }
            assert_eq!(read(entry.order, stored.clone()), Some(entry));
            before = Some(stored);
        }
        assert_eq!(read(entry(0, 1, 0).order, b"something else".to_vec()), None);
    }

    #[test]
    fn the_spread_is_a_tenth_either_way() {
        assert_eq!(ttl_s(&entry(1, 1, 0)), TTL_FINAL_S * 9 / 10);
        assert_eq!(ttl_s(&entry(1, 1, 255)), TTL_FINAL_S * 11 / 10);
    }
}
