//! The state of this replica's shards, and whether its lease holds: to be asked before every write and every
//! answer. `steps.rs` has the steps that change a state, `claims.rs` the calls to the authority.

use std::sync::Arc;
use std::time::Duration;

use trackops_cluster::changes::{ChangeReceiver, Changes};
use trackops_cluster::lease::Lease;
use trackops_cluster::membership::{Incarnation, Membership, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId, shard_of};
use trackops_domain::ids::OrderId;

use super::authority::Authority;
use crate::actors::tenure::{LocalShardState, Tenure, Tenures};
use crate::telemetry::repeated::RepeatedLog;

/// The replica's shards.
pub struct Ownership {
    count: ShardCount,
    pub(super) lease: Lease,
    pub(super) authority: Authority,
    pub(super) tenures: Tenures,
    /// Rises whenever a shard's state changes, for those who wait for it.
    pub(super) changes: Changes,
    /// Appends of unknown outcome that can't be settled yet.
    pub(super) unsettled: RepeatedLog,
}

/// Why a decision of a tenure may not be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// The shard is another replica's, or was another's in between.
    NotOwned,
    /// An append of unknown outcome is being settled.
    Settling,
}

impl Ownership {
    /// Owns nothing yet.
    pub fn new(
        membership: Arc<dyn Membership>,
        node: NodeId,
        incarnation: Incarnation,
        lease: Lease,
        count: ShardCount,
    ) -> Arc<Self> {
        Arc::new(Self {
            count,
            lease,
            authority: Authority::new(membership, node, incarnation),
            tenures: Tenures::new(count),
            changes: Changes::default(),
            unsettled: RepeatedLog::new(),
        })
    }

    /// How many shards there are.
    pub fn count(&self) -> ShardCount {
        self.count
    }

    /// The shard of `order`.
    pub fn shard_of(&self, order: OrderId) -> ShardId {
        shard_of(order.0.as_bytes(), self.count)
    }

    /// The state of `shard`, and its tenure.
    pub fn state(&self, shard: ShardId) -> (LocalShardState, Tenure) {
        self.tenures.get(shard)
    }

    /// The epoch under which `shard` may be written now.
    pub fn epoch(&self, shard: ShardId) -> Option<Epoch> {
        match self.state(shard).0 {
            LocalShardState::Owned(epoch) | LocalShardState::Held(epoch) => Some(epoch),
            LocalShardState::Drained(_)
            | LocalShardState::Settling(_)
            | LocalShardState::Free(_) => None,
        }
    }

    /// The epoch under which a decision of `tenure` may be written now.
    pub fn epoch_in(&self, shard: ShardId, tenure: Tenure) -> Result<Epoch, Unwritable> {
        match self.state(shard) {
            (_, current) if current != tenure => Err(Unwritable::NotOwned),
            (LocalShardState::Owned(epoch) | LocalShardState::Held(epoch), _) => Ok(epoch),
            (LocalShardState::Settling(_), _) => Err(Unwritable::Settling),
            (LocalShardState::Drained(_) | LocalShardState::Free(_), _) => {
                Err(Unwritable::NotOwned)
            }
        }
    }

    /// Whether a state that has been in memory since `tenure` may be shown: the shard is still owned, without
    /// a break.
    pub fn speaks(&self, shard: ShardId, tenure: Tenure) -> bool {
        let (state, current) = self.state(shard);
        current == tenure
            && !matches!(
                state,
                LocalShardState::Drained(_) | LocalShardState::Free(_)
            )
    }

    /// Whether this replica may answer from memory now.
    pub fn lease_holds(&self) -> bool {
        self.lease.holds()
    }

    /// Returns once the lease no longer holds if it `held`, or holds again if it didn't.
    pub async fn lease_turned(&self, held: bool) {
        self.lease.turned(held).await;
    }

    /// How long ago the lease ran out; zero while it holds.
    pub fn lease_over_for(&self) -> Duration {
        self.lease.over_for()
    }

    /// The shards that take new work now, ascending.
    pub fn open(&self) -> Vec<ShardId> {
        let is_open = |shard: &ShardId| matches!(self.state(*shard).0, LocalShardState::Owned(_));
        self.count.iter().filter(is_open).collect()
    }

    /// The shards that are this replica's as far as it knows, also those that are held or being settled;
    /// ascending.
    pub fn owned(&self) -> Vec<(ShardId, Epoch)> {
        let owned = |shard: ShardId| Some((shard, self.state(shard).0.owned_under()?));
        self.count.iter().filter_map(owned).collect()
    }

    /// Rises with every change of a shard's state.
    pub fn changes(&self) -> ChangeReceiver {
        self.changes.subscribe()
    }
}
