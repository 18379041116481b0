//! The versions lately written, to notice a cache that shows an older one (I8). What follows then is decided
//! by the read.

use std::sync::atomic::{AtomicU64, Ordering};

use trackops_domain::ids::{OrderId, Version};

/// Orders remembered, 64 KiB: those written in the last second or so, where a mistake would show.
const SLOTS: usize = 8192;

/// One slot for each hash, the last order written there: 32 bits of its hash and its version.
/// Forgets under pressure, and takes one order for another once in 2⁴⁵.
pub(super) struct FreshnessCheck(Box<[AtomicU64]>);

impl FreshnessCheck {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// `version` of `order` is about to be answered.
    pub(super) fn written(&self, order: OrderId, version: Version) {
        let (slot, tag) = self.place(order);
        slot.store(tag | u64::from(version.0), Ordering::SeqCst);
    }

    /// The version that a read which begins now must show at least, if it is remembered.
    pub(super) fn floor(&self, order: OrderId) -> Option<Version> {
        let (slot, tag) = self.place(order);
        let held = slot.load(Ordering::SeqCst);
        let version = u32::try_from(held & u64::from(u32::MAX)).ok()?;
        (held & TAG == tag && version > 0).then_some(Version(version))
    }

    fn place(&self, order: OrderId) -> (&AtomicU64, u64) {
        let hash = xxhash_rust::xxh3::xxh3_64(order.0.as_bytes());
        let index = usize::try_from(hash % SLOTS as u64).unwrap_or(0);
        (&self.0[index], hash & TAG)
    }
}

const TAG: u64 = !(u32::MAX as u64);
