//! The stored form of a cached view: 19 digits of generation, 10 of version, one for final, then the view.
//! Digits of fixed width compare as text just as (generation, version) compares as numbers, so the script
//! only compares text. They can also be read with `redis-cli`.

use bytes::Bytes;
use trackops_domain::ids::{OrderId, Version};

use crate::ports::cache::CacheEntry;

/// Digits that decide which of two entries is newer; the script compares this many bytes.
pub(super) const RANK_BYTES: usize = 29;
/// The rank and the digit for final.
const HEADER_BYTES: usize = RANK_BYTES + 1;

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
    // Numbers are also parsed with a sign, which would rank otherwise than it is read.
    let is_ours = header.bytes().all(|byte| byte.is_ascii_digit());
    let is_final = match header.as_bytes().last().filter(|_| is_ours)? {
        b'0' => false,
        b'1' => true,
        _ => return None,
    };
    Some(CacheEntry {
        order,
        generation: header.get(..19)?.parse().ok()?,
        version: Version(header.get(19..RANK_BYTES)?.parse().ok()?),
        is_final,
        view: Bytes::from(stored).slice(HEADER_BYTES..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(generation: i64, version: u32) -> CacheEntry {
        CacheEntry {
            order: OrderId(uuid::Uuid::from_bytes([7; 16])),
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
            let entry = entry(generation, version);
            let mut stored = Vec::new();
            write(&entry, &mut stored);
            if let Some(before) = before {
                assert!(before[..RANK_BYTES] < stored[..RANK_BYTES]);
            }
            assert_eq!(read(entry.order, stored.clone()), Some(entry));
            before = Some(stored);
        }
        assert_eq!(read(entry(0, 1).order, b"something else".to_vec()), None);
    }
}
