//! Who should own what: a pure function of the live nodes and today's owners.
//!
//! Every replica computes the same result from the same view, and acts only on its own part of it. Where
//! views differ, claims and take-overs settle who owns a shard.

use std::collections::{BTreeMap, VecDeque};

use crate::membership::{ClusterView, NodeId};

/// How shards are shared out among replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Evenly among the live replicas, which are linked: see [`assign`].
    Even,
    /// All of them to one replica. Replicas without links can't pass requests on or hand shards over, so
    /// the others stand by until that one leaves or its lease ends.
    OneOwner,
}

impl Sharing {
    /// The node that each shard should belong to, by shard, as `me` sees it.
    pub fn assign(self, view: &ClusterView, me: &NodeId) -> Vec<Option<NodeId>> {
        match self {
            Self::Even => assign(view),
            Self::OneOwner => one_owner(view, me),
        }
    }
}

/// Every shard falls to `me` unless another live node owns any. Shards in the hands of two are so left alone
/// until one of them is gone.
fn one_owner(view: &ClusterView, me: &NodeId) -> Vec<Option<NodeId>> {
    let owners = view
        .shards
        .iter()
        .map(|shard| Some(view.live_owner(shard.shard)?.node.clone()));
    let owners: Vec<Option<NodeId>> = owners.collect();
    if owners.iter().flatten().any(|owner| owner != me) {
        owners
    } else {
        vec![Some(me.clone()); owners.len()]
    }
}

/// The node that each shard should belong to, by shard.
///
/// Live nodes that are not draining get the same number of shards, give or take one. As few shards as
/// possible change hands: only those of nodes that have too many, that drain, or that are gone. If no
/// node can take shards, a draining live owner keeps its own, and every other shard gets `None`.
///
/// Carrying out a part of the result never adds moves to the rest.
pub fn assign(view: &ClusterView) -> Vec<Option<NodeId>> {
    let mut takers: BTreeMap<&NodeId, VecDeque<usize>> = view
        .nodes
        .iter()
        .filter(|node| node.is_live() && !node.draining)
        .map(|node| (&node.node, VecDeque::new()))
        .collect();
    let owners = view.shards.iter().map(|shard| {
        let owner = view.live_owner(shard.shard)?;
        Some(&owner.node)
    });
    let owners: Vec<Option<&NodeId>> = owners.collect();
    if takers.is_empty() {
        return owners.into_iter().map(Option::<&NodeId>::cloned).collect();
    }

    let mut homeless = Vec::new();
    for (position, owner) in owners.iter().enumerate() {
        match owner.and_then(|owner| takers.get_mut(owner)) {
            Some(kept) => kept.push_back(position),
            None => homeless.push(position),
        }
    }
    // The remainder of the division stays with the nodes that have the most shards, so that it doesn't
    // move needlessly.
    let (share, rest) = (
        view.shards.len() / takers.len(),
        view.shards.len() % takers.len(),
    );
    let mut by_size: Vec<(usize, &NodeId)> = takers
        .iter()
        .map(|(node, kept)| (kept.len(), *node))
        .collect();
    by_size.sort_by(|(a, a_node), (b, b_node)| b.cmp(a).then(a_node.cmp(b_node)));
    let quotas: BTreeMap<&NodeId, usize> = by_size
        .iter()
        .enumerate()
        .map(|(rank, (_, node))| (*node, share + usize::from(rank < rest)))
        .collect();

    for (node, kept) in &mut takers {
        while kept.len() > quotas[node] {
            homeless.extend(kept.pop_back());
        }
    }
    homeless.sort_unstable();
    let mut homeless = homeless.into_iter();
    let mut assigned = vec![None; view.shards.len()];
    for (node, mut kept) in takers {
        let missing = quotas[node].saturating_sub(kept.len());
        kept.extend(homeless.by_ref().take(missing));
        for position in kept {
            assigned[position] = Some(node.clone());
        }
    }
    assigned
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
