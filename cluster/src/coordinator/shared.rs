//! What the coordinator's steps share. Leaves the steps to [`super::claims`], [`super::moves`] and
//! [`super::offer`].

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::parts::CoordinatorParts;
use super::settings::CoordinatorSettings;
use crate::membership::NodeId;
use crate::shard::ShardId;

/// See the module.
pub(crate) struct Shared {
    pub(super) parts: CoordinatorParts,
    pub(super) settings: CoordinatorSettings,
    pub(super) budget: Mutex<Budget>,
    /// The same for what others offer.
    pub(super) offers: Mutex<Budget>,
    /// Shards on their way to another replica.
    pub(super) moving: Mutex<BTreeMap<ShardId, NodeId>>,
    /// Shards that another replica has offered and this one is about to adopt, with how many times.
    pub(super) taking: Mutex<BTreeMap<ShardId, usize>>,
    /// A shard whose move failed is left alone until then.
    pub(super) resting: Mutex<BTreeMap<ShardId, Instant>>,
    /// Rises after every look; for those who wait for the first claims, or for the end of a drain.
    pub(super) looks: watch::Sender<u64>,
    /// On its way out: what is offered is refused, and stays with whoever offers it.
    pub(super) draining: AtomicBool,
    /// A move has ended: there may be room for the next.
    pub(super) moved: Notify,
    pub(super) stop: CancellationToken,
}
