//! Headers as stored: names and values by turns, each after its length (32 bits, big endian), because values
//! are arbitrary bytes.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes};

use crate::ports::bus::{HeaderName, header_name};

/// Appends `headers` to `into`. Names and values are far shorter than 4 GiB: a message is refused
/// long before.
pub(in crate::embedded) fn write(headers: &[(&str, &[u8])], into: &mut Vec<u8>) {
    for part in headers
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value])
    {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        into.extend_from_slice(&length.to_be_bytes());
        into.extend_from_slice(part);
    }
}

/// Reads what [`write()`] wrote; `None` if it didn't. The values are parts of `stored`.
pub(in crate::embedded) fn read(stored: &Bytes) -> Option<BTreeMap<HeaderName, Bytes>> {
    let mut rest = stored.clone();
    let mut headers = BTreeMap::new();
    while !rest.is_empty() {
        let name = part(&mut rest)?;
        let value = part(&mut rest)?;
        headers.insert(header_name(std::str::from_utf8(&name).ok()?), value);
    }
    Some(headers)
}

fn part(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}
