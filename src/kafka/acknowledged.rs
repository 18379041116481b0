//! Remembers the offsets that the broker has acknowledged to a producer. Each offset is given once: if
//! one comes again, the broker took a message for an earlier one and dropped it.
//!
//! This happens because the idempotent producer numbers its messages for each partition. If metadata
//! doesn't show a partition for a moment, the producer forgets it and begins again at zero. The broker
//! then sees numbers that it knows, and acknowledges the messages without writing them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Offsets remembered of each partition: more than the last five requests hold, by which a broker
/// recognises a repeat (each has 10,000 messages at most). 8 KiB.
const SPAN: i64 = 65_536;
const WORD_BITS: i64 = 64;

/// The offsets that one producer was given.
#[derive(Default)]
pub(super) struct Acknowledged {
    partitions: Mutex<HashMap<(Arc<str>, i32), Window>>,
}

/// The highest acknowledged offset of a partition, and which of those below it were acknowledged.
struct Window {
    newest: i64,
    named: Box<[u64]>,
}

impl Acknowledged {
    /// Notes an acknowledgement. Returns `false` if another message was given the same offset, or if
    /// there is no offset: then nobody knows whether the message was written.
    pub(super) fn note(&self, topic: &Arc<str>, partition: i32, offset: i64) -> bool {
        let mut partitions = self.partitions.lock();
        let window = partitions.entry((Arc::clone(topic), partition));
        offset >= 0 && window.or_insert_with(Window::new).note(offset)
    }
}

impl Window {
    fn new() -> Self {
        let words = usize::try_from(SPAN / WORD_BITS).unwrap_or_default();
        Self {
            newest: -1,
            named: vec![0; words].into(),
        }
    }

    fn note(&mut self, offset: i64) -> bool {
        if self.newest - offset >= SPAN {
            // Older than any repeat that a broker recognises.
            return true;
        }
        if offset - self.newest >= SPAN {
            self.named.fill(0);
        } else {
            for between in self.newest + 1..=offset {
                let (word, bit) = Self::place(between);
                self.named[word] &= !bit;
            }
        }
        self.newest = self.newest.max(offset);
        let (word, bit) = Self::place(offset);
        let is_new = self.named[word] & bit == 0;
        self.named[word] |= bit;
        is_new
    }

    fn place(offset: i64) -> (usize, u64) {
        let at = offset.rem_euclid(SPAN);
        // Below `SPAN`, so it fits.
        let word = usize::try_from(at / WORD_BITS).unwrap_or_default();
        (word, 1 << (at % WORD_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_named_once() {
        let told = Acknowledged::default();
        let (topic, other) = (Arc::from("a"), Arc::from("b"));
        // Acknowledgements of several publishers are noted in any order.
        for offset in [3, 0, 2, 1, 70, 69] {
            assert!(told.note(&topic, 0, offset), "{offset}");
        }
        for offset in [0, 1, 2, 3, 69, 70] {
            assert!(!told.note(&topic, 0, offset), "{offset}");
        }
        assert!(told.note(&topic, 1, 0), "another partition");
        assert!(told.note(&other, 0, 0), "another topic");
        assert!(!told.note(&other, 0, -1001), "no place at all");
    }

    #[test]
    fn what_is_long_past_is_forgotten_and_makes_room() {
        let told = Acknowledged::default();
        let topic = Arc::from("a");
        for offset in [5, SPAN - 1, SPAN + 5, SPAN * 9 + 5] {
            assert!(told.note(&topic, 0, offset), "{offset}");
            assert!(!told.note(&topic, 0, offset), "{offset} again");
        }
        assert!(told.note(&topic, 0, SPAN * 9 + 4));
        assert!(told.note(&topic, 0, 7), "too long ago to tell");
    }
}
