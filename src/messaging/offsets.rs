//! Finds the offset that a partition may commit: every message before it must be finished. Leaves
//! committing to [`super::upkeep`].

use std::collections::BTreeSet;

/// The offsets of one partition since it was assigned.
#[derive(Debug)]
pub(super) struct Offsets {
    unfinished: BTreeSet<i64>,
    /// One past the highest offset read.
    end: i64,
    /// The offset last committed; before the first commit, where reading started.
    committed: i64,
}

impl Offsets {
    /// For a partition whose first message read is at `first`.
    pub(super) fn starting_at(first: i64) -> Self {
        Self {
            unfinished: BTreeSet::new(),
            end: first,
            committed: first,
        }
    }

    /// Notes a message. Returns `false` if it has been read before.
    pub(super) fn read(&mut self, offset: i64) -> bool {
        if offset < self.end {
            return false;
        }
        self.end = offset + 1;
        self.unfinished.insert(offset)
    }

    /// Notes that a message's effects are durable, or that it is parked.
    pub(super) fn finish(&mut self, offset: i64) {
        self.unfinished.remove(&offset);
    }

    /// The next offset to read after a restart: the first unfinished one.
    pub(super) fn next(&self) -> i64 {
        self.unfinished.first().copied().unwrap_or(self.end)
    }

    /// The offset to commit, if it differs from the committed one.
    pub(super) fn to_commit(&self) -> Option<i64> {
        let next = self.next();
        (self.committed != next).then_some(next)
    }

    /// Notes that the bus has stored `next`.
    pub(super) fn committed(&mut self, next: i64) {
        self.committed = next;
    }

    /// How far reading is ahead of committing.
    pub(super) fn window(&self) -> u64 {
        u64::try_from(self.end - self.next()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_past_an_unfinished_message() {
        let mut offsets = Offsets::starting_at(5);
        for offset in [5, 6, 9] {
            assert!(offsets.read(offset));
        }
        assert_eq!(offsets.to_commit(), None);
        offsets.finish(9);
        offsets.finish(6);
        assert_eq!(offsets.next(), 5);
        offsets.finish(5);
        assert_eq!(offsets.to_commit(), Some(10));
        offsets.committed(10);
        assert_eq!(offsets.to_commit(), None);
        assert!(!offsets.read(9), "read before");
    }
}
