//! Whatever Redis holds under a key of ours is read or taken for nothing; what was written is read again.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::{entry, position};
use crate::codec::damaged::{damage, damaged};
use crate::codec::samples;
use crate::model::position::Position;
use crate::ports::cache::CacheEntry;

fn entry() -> impl Strategy<Value = CacheEntry> {
    let numbers = (any::<u32>(), 0..=i64::MAX, any::<bool>());
    (any::<u128>(), numbers, vec(any::<u8>(), 0..40)).prop_map(|(id, numbers, view)| {
        let (version, generation, is_final) = numbers;
        CacheEntry {
            order: OrderId(Uuid::from_u128(id)),
            version: Version(version),
            generation,
            is_final,
            view: Bytes::from(view),
        }
    })
}

proptest! {
    #[test]
    fn an_entry_comes_back(entry in entry()) {
        let mut stored = Vec::new();
        entry::write(&entry, &mut stored);
        prop_assert_eq!(entry::read(entry.order, stored), Some(entry));
    }

    #[test]
    fn what_is_read_as_an_entry_is_one(
        entry in entry(), damage in damage(), any in vec(any::<u8>(), 0..60), shaped in "[-+0-9][0-9]{18}[-+0-4][0-9]{9}[0-3][{}]{0,2}",
    ) {
        let mut ours = Vec::new();
        entry::write(&entry, &mut ours);
        for bytes in [any, shaped.into_bytes(), damaged(&ours, &damage)] {
            if let Some(read) = entry::read(samples::id(), bytes.clone()) {
                let mut again = Vec::new();
                entry::write(&read, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_position_comes_back(lat in -90.0..=90.0, lon in -180.0..=180.0, at in any::<i64>()) {
        let position = Position { lat, lon, at: Timestamp(at) };
        prop_assert_eq!(position::read(&position::write(position)), Some(position));
    }

    #[test]
    fn what_is_read_as_a_position_is_on_the_earth(
        any in any::<String>(), shaped in "(-?[0-9]{1,3}|NaN|-?inf|1e999|\\+1) (-?[0-9]{1,3}|nan|infinity) [0-9]{1,20}( 1)?",
    ) {
        for text in [any, shaped] {
            if let Some(read) = position::read(&text) {
                prop_assert!(read.lat.abs() <= 90.0 && read.lon.abs() <= 180.0, "{}: {:?}", text, read);
                prop_assert!(position::read(&position::write(read)).is_some(), "{}", text);
            }
        }
    }
}

#[test]
fn what_is_cached_keeps_its_form() {
    let stored = include_bytes!("../../tests/fixtures/forms/cached_view.txt").trim_ascii_end();
    let id = uuid::uuid!("0198c5f0-0000-7000-8000-000000000001");
    let entry = CacheEntry {
        order: OrderId(id),
        version: Version(3),
        generation: 12,
        is_final: true,
        view: format!(r#"{{"id":"{id}"}}"#).into(),
    };
    let mut written = Vec::new();
    entry::write(&entry, &mut written);
    assert_eq!(written, stored);
    assert_eq!(entry::read(entry.order, stored.to_vec()), Some(entry));

    let stored = include_str!("../../tests/fixtures/forms/cached_position.txt").trim_end();
    let measured = Position {
        lat: 52.51,
        lon: -13.39,
        at: samples::minutes(0),
    };
    assert_eq!(position::write(measured), stored);
    assert_eq!(position::read(stored), Some(measured));
}
