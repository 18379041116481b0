//! The state that the coordinator's steps share. Leaves the steps to [`super::claims`], [`super::moves`]
//! and [`super::offer`].

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
    /// The same bound for shards that others offer.
    pub(super) offers: Mutex<Budget>,
    /// Shards that are moving to another replica.
    pub(super) moving: Mutex<BTreeMap<ShardId, NodeId>>,
    /// Shards that another replica has offered and this one is about to adopt, each with the number of
    /// offers in progress.
    pub(super) taking: Mutex<BTreeMap<ShardId, usize>>,
    /// Shards whose move failed; each is left alone until this time.
    pub(super) resting: Mutex<BTreeMap<ShardId, Instant>>,
    /// Rises after every look. Callers wait on it for the first claims, or for the end of a drain.
    pub(super) looks: watch::Sender<u64>,
    /// This replica is leaving: it refuses offers, and an offered shard stays with its owner.
    pub(super) draining: AtomicBool,
    /// Notified when a move has ended, because the next one may then begin.
    pub(super) moved: Notify,
    pub(super) stop: CancellationToken,
}
