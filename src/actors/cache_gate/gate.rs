//! The gate's parts, and the generations under which it believes a shard's entries. The files beside this one
//! ask the cache.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Weak};

use trackops_cluster::ShardId;

use super::flights::Flights;
use super::freshness::FreshnessCheck;
use super::generations::{GenerationRaiser, Generations};
use super::pending::Pending;
use super::settings::CacheGateSettings;
use crate::ports::cache::Cache;

/// The guard between the order actors and the cache.
pub struct CacheGate {
    pub(super) cache: Arc<dyn Cache>,
    pub(super) raiser: Arc<dyn GenerationRaiser>,
    pub(super) settings: CacheGateSettings,
    pub(super) generations: Generations,
    pub(super) flights: Flights,
    pub(super) pending: Pending,
    pub(super) watch: FreshnessCheck,
    /// The circuit breaker: the cache failed and is not asked until a probe succeeds.
    pub(super) open: AtomicBool,
    /// Failures since the last successful write, for the pause before the next probe.
    pub(super) failures: AtomicU32,
    pub(super) repairing: AtomicBool,
    /// For the repair task, which must not keep an unused gate alive.
    pub(super) itself: Weak<Self>,
}

impl CacheGate {
    /// A gate that believes nothing until [`Self::adopt`]. The caller runs no task for it: the gate starts
    /// the repair itself when it needs one.
    pub fn new(
        cache: Arc<dyn Cache>,
        raiser: Arc<dyn GenerationRaiser>,
        settings: CacheGateSettings,
    ) -> Arc<Self> {
        let session = cache.session();
        Arc::new_cyclic(|itself| Self {
            cache,
            raiser,
            settings,
            generations: Generations::new(session),
            flights: Flights::default(),
            pending: Pending::new(),
            watch: FreshnessCheck::new(),
            open: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            repairing: AtomicBool::new(false),
            itself: Weak::clone(itself),
        })
    }

    /// The shard was claimed: its entries are believed if they carry `generation`. A generation that is not
    /// higher than the last known one is ignored.
    pub fn adopt(&self, shard: ShardId, generation: i64) {
        self.generations.claimed(shard, generation);
    }

    /// The shard is given up. Returns the generation under which the next owner may believe its entries;
    /// `None` if the next owner must raise it first.
    pub fn release(&self, shard: ShardId) -> Option<i64> {
        self.generations.released(shard)
    }

    /// The generation of `shard`, if its entries may be believed now.
    pub fn generation(&self, shard: ShardId) -> Option<i64> {
        self.generations.known(shard)
    }
}
