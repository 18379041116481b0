//! Which shard a key belongs to, pinned for ever by a golden test.

use std::fmt;

/// A part of the key space, `0..ShardCount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing token of a shard: raised by every claim, carried by every append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// How many shards there are; fixed when the database is first migrated. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardCount(u16);

impl ShardCount {
    /// The count unless another is set at the first migration.
    pub const DEFAULT: Self = Self(128);
    /// The most: beyond it claims and locks cost more than a shard is worth.
    pub const MAX: u16 = 4096;

    /// Checks the range 1 to [`Self::MAX`].
    pub const fn new(count: u16) -> Option<Self> {
        if count == 0 || count > Self::MAX {
            None
        } else {
            Some(Self(count))
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// All shards, ascending.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        (0..self.0).map(ShardId)
    }
}

/// The shard of a 16-byte key: its XXH3-64 hash as a number, modulo the count.
pub fn shard_of(key: &[u8; 16], count: ShardCount) -> ShardId {
    let hash = xxhash_rust::xxh3::xxh3_64(key);
    ShardId(u16::try_from(hash % u64::from(count.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored rows depend on these numbers: a change here loses every order of a live system.
    #[test]
    fn shards_are_pinned() {
        let shard = |last: u8| {
            let mut key = [0_u8; 16];
            key[15] = last;
            shard_of(&key, ShardCount::DEFAULT).0
        };
        assert_eq!([shard(0), shard(1), shard(2), shard(3)], GOLDEN);
    }

    const GOLDEN: [u16; 4] = [104, 59, 31, 67];
}
