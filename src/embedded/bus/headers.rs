//! Headers as stored: names and values by turns, each with its length before it (32 bits, big
//! endian), because values are arbitrary bytes.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Appends `headers` to `into`. Names and values are far shorter than 4 GiB: a message is refused
/// long before.
pub(super) fn write(headers: &[(&str, &[u8])], into: &mut Vec<u8>) {
    for part in headers
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value])
    {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        into.extend_from_slice(&length.to_be_bytes());
        into.extend_from_slice(part);
    }
}

/// Reads what [`write`] wrote; `None` if it didn't.
pub(super) fn read(stored: &[u8]) -> Option<BTreeMap<String, Bytes>> {
    let mut rest = stored;
    let mut headers = BTreeMap::new();
    while !rest.is_empty() {
        let name = part(&mut rest)?;
        let value = Bytes::copy_from_slice(part(&mut rest)?);
        headers.insert(std::str::from_utf8(name).ok()?.to_owned(), value);
    }
    Some(headers)
}

fn part<'s>(rest: &mut &'s [u8]) -> Option<&'s [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}
