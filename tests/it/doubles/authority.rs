//! What the in-memory membership decides: nodes, leases and shards under one lock, by tokio's clock.
//! Ordered maps only, so that a seeded run repeats itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use trackops_cluster::membership::{
    Claimed, ClusterView, Incarnation, MembershipError, NodeId, NodeView, ShardView,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::journal::MemoryJournal;

/// What the authority's clock shows at first.
const MADE_MS: i64 = 1_800_000_000_000;

/// The authority's memory. The epochs are the journal's, which fences by them.
pub struct Authority {
    journal: MemoryJournal,
    count: ShardCount,
    nodes: BTreeMap<NodeId, Node>,
    shards: BTreeMap<ShardId, Shard>,
    /// Its clock counts from here.
    made: Instant,
    /// A defect on purpose: claims and take-overs leave the epoch as it is.
    pub claims_keep_epoch: bool,
    /// Rises with whatever is worth a hint.
    pub changes: u64,
}

struct Node {
    incarnation: Incarnation,
    address: String,
    /// `None` once it was given up or found to have ended.
    until: Option<Instant>,
    draining: bool,
}

#[derive(Default)]
struct Shard {
    owner: Option<(NodeId, Incarnation)>,
    cache_generation: i64,
}

impl Authority {
    /// Knows nobody yet; every shard is free.
    pub fn new(journal: &MemoryJournal, count: ShardCount) -> Self {
        let shards = count.iter().map(|shard| (shard, Shard::default()));
        let shards: BTreeMap<_, _> = shards.collect();
        let epochs = &mut journal.0.lock().epochs;
        for shard in shards.keys() {
            epochs.entry(*shard).or_insert(0);
        }
        Self {
            journal: journal.clone(),
            count,
            nodes: BTreeMap::new(),
            shards,
            made: Instant::now(),
            claims_keep_epoch: false,
            changes: 0,
        }
    }

    pub fn count(&self) -> ShardCount {
        self.count
    }

    pub fn join(
        &mut self,
        node: &NodeId,
        address: &str,
        lease: Duration,
    ) -> Result<Incarnation, MembershipError> {
        let before = self.nodes.get(node);
        let remaining = before.map_or(Duration::ZERO, Node::remaining);
        if !remaining.is_zero() {
            return Err(MembershipError::Taken {
                node: node.0.clone(),
                remaining,
            });
        }
        let incarnation = Incarnation(before.map_or(0, |node| node.incarnation.0) + 1);
        let joined = Node {
            incarnation,
            address: address.into(),
            until: Some(Instant::now() + lease),
            draining: false,
        };
        self.nodes.insert(node.clone(), joined);
        self.changes += 1;
        Ok(incarnation)
    }

    pub fn renew(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        lease: Duration,
    ) -> Result<ClusterView, MembershipError> {
        self.alive(node, incarnation)?.until = Some(Instant::now() + lease);
        Ok(self.view())
    }

    pub fn view(&self) -> ClusterView {
        let present = self.nodes.iter().filter(|(_, node)| node.until.is_some());
        let nodes = present.map(|(name, node)| NodeView {
            node: name.clone(),
            incarnation: node.incarnation,
            address: node.address.clone(),
            draining: node.draining,
            remaining: node.remaining(),
        });
        let stored = self.journal.0.lock();
        let shards = self.shards.iter().map(|(shard, state)| ShardView {
            shard: *shard,
            epoch: Epoch(stored.epochs[shard]),
            owner: state.owner.clone(),
        });
        let passed = i64::try_from(self.made.elapsed().as_millis()).expect("short");
        ClusterView {
            nodes: nodes.collect(),
            shards: shards.collect(),
            now_ms: MADE_MS + passed,
        }
    }

    pub fn claim(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        wanted: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        self.alive(node, incarnation)?;
        for (shard, _) in wanted {
            self.bury_owner(*shard);
        }
        let me = (node.clone(), incarnation);
        let mut claimed = Vec::new();
        for (shard, seen) in wanted {
            let Some(state) = self.shards.get(shard) else {
                continue;
            };
            let free = state.owner.as_ref().is_none_or(|owner| {
                *owner == me
                    || self
                        .nodes
                        .get(&owner.0)
                        .is_none_or(|node| node.incarnation != owner.1 || node.until.is_none())
            });
            if free {
                claimed.extend(self.give(*shard, *seen, &me, true));
            }
        }
        Ok(claimed)
    }

    pub fn take_over(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        from: &(NodeId, Incarnation),
        offered: &[(ShardId, Epoch)],
    ) -> Result<Vec<Claimed>, MembershipError> {
        self.alive(node, incarnation)?;
        let me = (node.clone(), incarnation);
        let mut taken = Vec::new();
        for (shard, seen) in offered {
            let owner = self.shards.get(shard).and_then(|s| s.owner.as_ref());
            if owner == Some(from) {
                taken.extend(self.give(*shard, *seen, &me, false));
            }
        }
        Ok(taken)
    }

    pub fn set_draining(&mut self, node: &NodeId, draining: bool) {
        if let Some(known) = self.nodes.get_mut(node)
            && known.draining != draining
        {
            known.draining = draining;
            self.changes += 1;
        }
    }

    pub fn raise_cache_generation(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        shards: &[ShardId],
    ) -> Vec<(ShardId, i64)> {
        let me = Some((node.clone(), incarnation));
        let mut raised = Vec::new();
        for shard in shards {
            if let Some(state) = self.shards.get_mut(shard)
                && state.owner == me
            {
                state.cache_generation += 1;
                raised.push((*shard, state.cache_generation));
            }
        }
        raised
    }

    pub fn leave(&mut self, node: &NodeId, incarnation: Incarnation) {
        if let Some(known) = self.nodes.get_mut(node)
            && known.incarnation == incarnation
        {
            known.until = None;
        }
        let me = Some((node.clone(), incarnation));
        for state in self.shards.values_mut() {
            if state.owner == me {
                state.owner = None;
            }
        }
        self.changes += 1;
    }

    fn alive(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<&mut Node, MembershipError> {
        self.nodes
            .get_mut(node)
            .filter(|node| node.incarnation == incarnation && !node.remaining().is_zero())
            .ok_or(MembershipError::Deposed)
    }

    /// Marks the owner of `shard` if its lease has ended.
    fn bury_owner(&mut self, shard: ShardId) {
        let owner = self.shards.get(&shard).and_then(|s| s.owner.clone());
        if let Some(node) = owner.and_then(|(node, _)| self.nodes.get_mut(&node))
            && node.remaining().is_zero()
        {
            node.until = None;
        }
    }

    /// Makes `shard` `me`'s, if its epoch is as it was `seen`.
    fn give(
        &mut self,
        shard: ShardId,
        seen: Epoch,
        me: &(NodeId, Incarnation),
        raise_generation: bool,
    ) -> Option<Claimed> {
        let state = self.shards.get_mut(&shard)?;
        let mut stored = self.journal.0.lock();
        let epoch = stored.epochs.get_mut(&shard)?;
        if *epoch != seen.0 {
            return None;
        }
        if !self.claims_keep_epoch {
            *epoch += 1;
        }
        state.owner = Some(me.clone());
        state.cache_generation += i64::from(raise_generation);
        self.changes += 1;
        Some(Claimed {
            shard,
            epoch: Epoch(*epoch),
            cache_generation: state.cache_generation,
        })
    }
}

impl Node {
    fn remaining(&self) -> Duration {
        self.until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }
}
