//! Remembers the versions written lately, to notice a cache that shows an older one (I8). The read decides
//! what to do about it.

use std::sync::atomic::{AtomicU64, Ordering};

use trackops_domain::ids::{OrderId, Version};

/// Slots for orders, 64 KiB: enough for the orders written in the last second or so, where a mistake would
/// show.
const SLOTS: usize = 8192;

/// One slot for each hash. It holds the last order written there: 32 bits of its hash, and its version. It
/// forgets under pressure, and takes one order for another once in 2⁴⁵.
pub(super) struct FreshnessCheck(Box<[AtomicU64]>);

impl FreshnessCheck {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    /// To be called before `version` of `order` is answered.
    pub(super) fn written(&self, order: OrderId, version: Version) {
        let (slot, tag) = self.place(order);
        slot.store(tag | u64::from(version.0), Ordering::SeqCst);
    }

    /// The oldest version that a read which begins now may show, if it is remembered.
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
