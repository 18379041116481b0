//! Which shards this replica owns, under which epoch, and whether its lease still holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use trackops_cluster::changes::{Changes, Watcher};
use trackops_cluster::lease::Lease;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, Membership, MembershipError, NodeId,
};
use trackops_cluster::outage::causes;
use trackops_cluster::{Epoch, ShardCount, ShardId, shard_of};
use trackops_domain::ids::OrderId;

use super::cache_gate::{CacheGate, GenerationRaiser};
use super::tenure::{Standing, Tenure, Tenures};
use super::writer::WriteError;
use crate::ports::journal::BoxError;
use crate::telemetry::repeated::RepeatedLog;

/// A look at the authority is repeated no faster than this while it is away.
const SETTLE_RETRY: Duration = Duration::from_millis(250);

/// The replica's shards.
pub struct Ownership {
    membership: Arc<dyn Membership>,
    node: NodeId,
    incarnation: Incarnation,
    lease: Lease,
    count: ShardCount,
    tenures: Tenures,
    /// The last epoch known of each shard, whoever's it is: what a claim is compared with.
    known: Box<[AtomicI64]>,
    /// A claim was refused or its outcome is unknown: the known epochs may be old.
    must_look: AtomicBool,
    /// Rises whenever a shard's standing changes, for those who wait for it.
    changes: Changes,
    /// Appends of unknown outcome that can't be settled.
    unsettled: RepeatedLog,
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
            membership,
            node,
            incarnation,
            lease,
            count,
            tenures: Tenures::new(count),
            known: count.iter().map(|_| AtomicI64::new(0)).collect(),
            must_look: AtomicBool::new(true),
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

    /// Where `shard` stands, and in which tenure.
    pub fn standing(&self, shard: ShardId) -> (Standing, Tenure) {
        self.tenures.get(shard)
    }

    /// The epoch under which `shard` may be written now.
    pub fn epoch(&self, shard: ShardId) -> Option<Epoch> {
        match self.standing(shard).0 {
            Standing::Owned(epoch) | Standing::Held(epoch) => Some(epoch),
            Standing::Drained(_) | Standing::Settling(_) | Standing::Free(_) => None,
        }
    }

    /// The epoch under which something that was decided in `tenure` may be written now.
    pub fn epoch_in(&self, shard: ShardId, tenure: Tenure) -> Result<Epoch, WriteError> {
        match self.standing(shard) {
            (_, current) if current != tenure => Err(WriteError::NotOwner),
            (Standing::Owned(epoch) | Standing::Held(epoch), _) => Ok(epoch),
            (Standing::Settling(_), _) => Err(WriteError::Unavailable),
            (Standing::Drained(_) | Standing::Free(_), _) => Err(WriteError::NotOwner),
        }
    }

    /// Whether what is in memory since `tenure` may be spoken of: the shard is still owned, without
    /// a break.
    pub fn speaks(&self, shard: ShardId, tenure: Tenure) -> bool {
        let (standing, current) = self.standing(shard);
        current == tenure && !matches!(standing, Standing::Drained(_) | Standing::Free(_))
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
        let is_open = |shard: &ShardId| matches!(self.standing(*shard).0, Standing::Owned(_));
        self.count.iter().filter(is_open).collect()
    }

    /// The shards that are this replica's as far as it knows, also those that are held or being
    /// settled; ascending.
    pub fn owned(&self) -> Vec<(ShardId, Epoch)> {
        let owned = |shard: ShardId| Some((shard, self.standing(shard).0.owned_under()?));
        self.count.iter().filter_map(owned).collect()
    }

    /// Rises with every change of a standing.
    pub fn changes(&self) -> Watcher {
        self.changes.subscribe()
    }

    /// Claims what can be claimed of `shards`; returns what was.
    pub async fn claim(
        &self,
        shards: &[ShardId],
        gate: &CacheGate,
    ) -> Result<Vec<ShardId>, MembershipError> {
        if self.must_look.swap(false, Ordering::AcqRel) {
            self.look().await?;
        }
        let wanted: Vec<(ShardId, Epoch)> = shards
            .iter()
            .filter_map(|shard| Some((*shard, self.known(*shard)?)))
            .collect();
        let claim = self
            .membership
            .claim(&self.node, self.incarnation, &wanted)
            .await;
        if claim
            .as_ref()
            .map_or(true, |claimed| claimed.len() < wanted.len())
        {
            self.must_look.store(true, Ordering::Release);
        }
        let claimed = claim?;
        for claim in &claimed {
            gate.adopt(claim.shard, claim.cache_generation);
            self.adopt(*claim);
        }
        Ok(claimed.into_iter().map(|claim| claim.shard).collect())
    }

    /// Those of `shards` that the authority knows no living owner of but this replica.
    pub async fn without_live_owner(
        &self,
        shards: &[ShardId],
    ) -> Result<Vec<ShardId>, MembershipError> {
        let view = self.membership.view().await?;
        let is_others = |shard: &ShardId| {
            let owner = view.live_owner(*shard);
            owner.is_some_and(|o| o.node != self.node || o.incarnation != self.incarnation)
        };
        Ok(shards.iter().copied().filter(|s| !is_others(s)).collect())
    }

    /// The last epoch known of `shard`.
    pub fn known(&self, shard: ShardId) -> Option<Epoch> {
        let known = self.known.get(usize::from(shard.0))?;
        Some(Epoch(known.load(Ordering::Acquire)))
    }

    /// Learns an epoch of `shard`; an older one changes nothing.
    pub fn learn(&self, shard: ShardId, epoch: Epoch) {
        if let Some(known) = self.known.get(usize::from(shard.0)) {
            known.fetch_max(epoch.0, Ordering::AcqRel);
        }
    }

    /// Asks the authority, and learns every epoch.
    async fn look(&self) -> Result<ClusterView, MembershipError> {
        let view = self.membership.view().await;
        if view.is_err() {
            self.must_look.store(true, Ordering::Release);
        }
        let view = view?;
        for shard in &view.shards {
            self.learn(shard.shard, shard.epoch);
        }
        Ok(view)
    }

    /// Those of `shards` that the authority says are this incarnation's.
    async fn still_ours(&self, shards: &[ShardId]) -> Result<Vec<ShardId>, MembershipError> {
        let view = self.look().await?;
        let ours = |shard: &ShardId| {
            let owner = view.shard(*shard)?.owner.as_ref()?;
            (owner.0 == self.node && owner.1 == self.incarnation).then_some(*shard)
        };
        Ok(shards.iter().filter_map(ours).collect())
    }

    /// `claimed` is this replica's from now on and takes new work. Whatever is in memory from
    /// before a break in its ownership counts no more.
    pub fn adopt(&self, claimed: Claimed) {
        self.learn(claimed.shard, claimed.epoch);
        let changed = self.tenures.change(claimed.shard, |standing| {
            (standing.epoch() < claimed.epoch).then_some(Standing::Owned(claimed.epoch))
        });
        self.say(changed.is_some());
    }

    /// New work on `shard` waits from here on; `false` if it isn't there to be held.
    pub fn hold(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Owned(epoch) => Some(Standing::Held(epoch)),
            _ => None,
        })
    }

    /// New work on `shard` goes on, if it is held and not yet drained.
    pub(super) fn resume_held(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Held(epoch) => Some(Standing::Owned(epoch)),
            _ => None,
        })
    }

    /// Nothing is in hand of a held `shard`: it is neither written nor answered for any more.
    pub fn drained(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| match standing {
            Standing::Held(epoch) => Some(Standing::Drained(epoch)),
            _ => None,
        })
    }

    /// `shard` is another's, or nobody's.
    pub fn release(&self, shard: ShardId) -> bool {
        self.step(shard, |standing| {
            Some(Standing::Free(standing.owned_under()?))
        })
    }

    /// An append under `epoch` was refused: if that is what `shard` is owned under, it is another's.
    /// Whether it was.
    pub(super) fn fenced(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.step(shard, |standing| {
            (standing.owned_under()? == epoch).then_some(Standing::Free(epoch))
        })
    }

    /// Stops writing to `shard` until [`Self::settle`] has found out what became of a lost append.
    pub(super) fn suspend(&self, shard: ShardId) {
        self.step(shard, |standing| match standing {
            Standing::Owned(epoch) | Standing::Held(epoch) => Some(Standing::Settling(epoch)),
            _ => None,
        });
    }

    /// Stops everything: the lease has ended for good.
    pub fn suspend_all(&self) {
        for shard in self.count.iter() {
            self.tenures.change(shard, |standing| {
                Some(Standing::Free(standing.owned_under()?))
            });
        }
        self.say(true);
    }

    /// Settles appends of unknown outcome on `shards`, which are suspended: claims them again, which
    /// waits for the lost statement or fences it. Tries until it works or this incarnation is over.
    pub async fn settle(&self, shards: &[ShardId], gate: &CacheGate) {
        let mut left = shards.to_vec();
        loop {
            left.retain(|shard| matches!(self.standing(*shard).0, Standing::Settling(_)));
            if left.is_empty() {
                break;
            }
            match self.settle_once(&left, gate).await {
                Ok(still) => left = still,
                Err(MembershipError::Unavailable(error)) => {
                    if let Some(repeats) = self.unsettled.failed(Instant::now()) {
                        let (error, tries) = (causes(&*error), repeats.count);
                        tracing::warn!(
                            error,
                            tries,
                            shards = left.len(),
                            "can't settle an append of unknown outcome yet"
                        );
                    }
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "an append of unknown outcome is the next owner's to settle");
                    break;
                }
            }
        }
        if let Some(outage) = self.unsettled.recovered(Instant::now()) {
            let lasted = outage.lasted;
            tracing::info!(?lasted, "appends of unknown outcome are settled");
        }
        // What was not claimed again is another's.
        for shard in shards {
            if matches!(self.standing(*shard).0, Standing::Settling(_)) {
                self.release(*shard);
            }
        }
    }

    /// What is left to be claimed again. A claim whose answer was lost may have raised an epoch, so
    /// a refusal doesn't say yet that the shard is another's.
    async fn settle_once(
        &self,
        shards: &[ShardId],
        gate: &CacheGate,
    ) -> Result<Vec<ShardId>, MembershipError> {
        let claimed = self.claim(shards, gate).await?;
        let refused = shards.iter().filter(|shard| !claimed.contains(shard));
        let refused: Vec<ShardId> = refused.copied().collect();
        if refused.is_empty() {
            return Ok(refused);
        }
        self.still_ours(&refused).await
    }

    /// Waits until `shard` may be written again, at most `limit`; whether it may.
    pub async fn settled(&self, shard: ShardId, limit: Duration) -> bool {
        let mut changes = self.changes.subscribe();
        let is_settling = || matches!(self.standing(shard).0, Standing::Settling(_));
        let wait = changes.wait_for(|_| !is_settling());
        let in_time = tokio::time::timeout(limit, wait).await;
        in_time.is_ok_and(|seen| seen.is_ok()) && self.epoch(shard).is_some()
    }

    /// Gives up lease and shards, after the last append. An authority that hasn't answered at `end`
    /// hears of it when the lease runs out.
    pub async fn leave(&self, end: Instant) -> Result<(), MembershipError> {
        self.suspend_all();
        let leaving = self.membership.leave(&self.node, self.incarnation);
        let left = tokio::time::timeout_at(end, leaving).await;
        self.lease.end();
        left.unwrap_or_else(|late| Err(MembershipError::Unavailable(late.into())))
    }

    fn step(&self, shard: ShardId, to: impl Fn(Standing) -> Option<Standing>) -> bool {
        let changed = self.tenures.change(shard, to).is_some();
        self.say(changed);
        changed
    }

    fn say(&self, changed: bool) {
        if changed {
            self.changes.tell();
        }
    }
}

#[async_trait]
impl GenerationRaiser for Ownership {
    async fn raise(&self, shards: &[ShardId]) -> Result<Vec<(ShardId, i64)>, BoxError> {
        Ok(self
            .membership
            .raise_cache_generation(&self.node, self.incarnation, shards)
            .await?)
    }
}
