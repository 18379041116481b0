//! The laws of the assignment, on any view.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::membership::{Incarnation, NodeView, ShardView};
use crate::shard::{Epoch, ShardId};

/// Owners refer to nodes by position, so that some are in another life and some are unknown.
fn views() -> impl Strategy<Value = ClusterView> {
    let node = (any::<bool>(), prop::bool::weighted(0.8), 1_i64..3);
    let owner = prop::option::weighted(0.9, (0_usize..8, 1_i64..3));
    let shards = prop::collection::vec(owner, 1..60);
    (prop::collection::vec(node, 0..7), shards).prop_map(|(nodes, shards)| {
        let nodes = nodes.into_iter().enumerate();
        let nodes = nodes.map(|(position, (draining, live, incarnation))| NodeView {
            node: name(position),
            incarnation: Incarnation(incarnation),
            address: String::new(),
            draining: draining && position % 3 == 0,
            remaining: Duration::from_secs(u64::from(live)),
        });
        let shards = (0_u16..).zip(shards).map(|(shard, owner)| ShardView {
            shard: ShardId(shard),
            epoch: Epoch(1),
            owner: owner.map(|(node, incarnation)| (name(node), Incarnation(incarnation))),
        });
        ClusterView {
            nodes: nodes.collect(),
            shards: shards.collect(),
            ..ClusterView::default()
        }
    })
}

fn name(position: usize) -> NodeId {
    NodeId(format!("node-{position}"))
}

fn takers(view: &ClusterView) -> Vec<&NodeView> {
    let nodes = view.nodes.iter();
    nodes
        .filter(|node| node.is_live() && !node.draining)
        .collect()
}

fn owners(view: &ClusterView) -> Vec<Option<NodeId>> {
    let shards = view.shards.iter();
    let owners = shards.map(|shard| view.live_owner(shard.shard).map(|node| node.node.clone()));
    owners.collect()
}

/// The shards that `assigned` gives to another than today's live owner.
fn moves(view: &ClusterView, assigned: &[Option<NodeId>]) -> Vec<usize> {
    let pairs = owners(view).into_iter().zip(assigned).enumerate();
    let moved = pairs.filter(|(_, (now, then))| now != *then);
    moved.map(|(position, _)| position).collect()
}

/// The view once the shards at `positions` are where `assigned` wants them.
fn carried_out(
    view: &ClusterView,
    assigned: &[Option<NodeId>],
    positions: &[usize],
) -> ClusterView {
    let mut after = view.clone();
    for position in positions {
        let Some(node) = &assigned[*position] else {
            continue;
        };
        let node = view.nodes.iter().find(|view| view.node == *node);
        let node = node.expect("only nodes of the view are assigned");
        let shard = &mut after.shards[*position];
        shard.owner = Some((node.node.clone(), node.incarnation));
        shard.epoch = Epoch(shard.epoch.0 + 1);
    }
    after
}

/// The fewest shards that must change hands, computed in another way than the code does: each taker may
/// keep its share, and as many takers as the division's remainder may keep one more.
fn fewest_moves(view: &ClusterView) -> usize {
    let takers = takers(view);
    let (share, mut rest) = (
        view.shards.len() / takers.len(),
        view.shards.len() % takers.len(),
    );
    let owners = owners(view);
    let mut kept = 0;
    for taker in takers {
        let has = owners
            .iter()
            .flatten()
            .filter(|owner| **owner == taker.node)
            .count();
        kept += has.min(share);
        if has > share && rest > 0 {
            kept += 1;
            rest -= 1;
        }
    }
    view.shards.len() - kept
}

proptest! {
    #[test]
    fn the_living_share_within_one(view in views()) {
        let assigned = assign(&view);
        prop_assert_eq!(assigned.len(), view.shards.len());
        let takers = takers(&view);
        prop_assume!(!takers.is_empty());
        let count = |node: &NodeId| assigned.iter().flatten().filter(|one| *one == node).count();
        let counts: Vec<usize> = takers.iter().map(|node| count(&node.node)).collect();
        prop_assert_eq!(counts.iter().sum::<usize>(), view.shards.len(), "only takers get any");
        let spread = counts.iter().max().zip(counts.iter().min());
        let (most, least) = spread.expect("there is a taker");
        prop_assert!(most - least <= 1, "{counts:?}");
    }

    #[test]
    fn as_few_as_possible_change_hands(view in views()) {
        prop_assume!(!takers(&view).is_empty());
        prop_assert_eq!(moves(&view, &assign(&view)).len(), fewest_moves(&view));
    }

    #[test]
    fn the_order_of_nodes_is_nothing(view in views(), by in 0_usize..8) {
        let mut other = view.clone();
        other.nodes.reverse();
        let by = by % other.nodes.len().max(1);
        other.nodes.rotate_left(by);
        prop_assert_eq!(assign(&other), assign(&view));
    }

    #[test]
    fn carried_out_it_wants_nothing_more(view in views()) {
        let assigned = assign(&view);
        let after = carried_out(&view, &assigned, &moves(&view, &assigned));
        prop_assert_eq!(assign(&after), assigned);
    }

    #[test]
    fn a_part_of_it_brings_the_rest_nearer(view in views(), part in any::<u64>()) {
        prop_assume!(!takers(&view).is_empty());
        let assigned = assign(&view);
        let planned = moves(&view, &assigned);
        let done: Vec<usize> = planned.iter().copied().filter(|at| part >> (at % 64) & 1 == 1).collect();
        let after = carried_out(&view, &assigned, &done);
        prop_assert_eq!(moves(&after, &assign(&after)).len(), planned.len() - done.len());
    }

    #[test]
    fn with_nobody_to_take_them_shards_stay(mut view in views()) {
        for node in &mut view.nodes {
            node.draining = true;
        }
        prop_assert_eq!(assign(&view), owners(&view));
        for node in &mut view.nodes {
            node.remaining = Duration::ZERO;
        }
        prop_assert_eq!(assign(&view), vec![None; view.shards.len()]);
    }
}

#[test]
fn a_newcomer_gets_its_share_and_the_others_keep_theirs() {
    let node = |position| NodeView {
        node: name(position),
        incarnation: Incarnation(1),
        address: String::new(),
        draining: false,
        remaining: Duration::from_secs(1),
    };
    let shards = (0..8).map(|shard| ShardView {
        shard: ShardId(shard),
        epoch: Epoch(1),
        owner: Some((name(usize::from(shard % 2)), Incarnation(1))),
    });
    let view = ClusterView {
        nodes: vec![node(0), node(1), node(2)],
        shards: shards.collect(),
        ..ClusterView::default()
    };
    let assigned: Vec<String> = assign(&view)
        .into_iter()
        .flatten()
        .map(|node| node.0)
        .collect();
    let expected = [0, 1, 0, 1, 0, 1, 2, 2].map(|position| name(position).0);
    assert_eq!(assigned, expected);
}

proptest! {
    /// Without links nobody hands a shard over, and two replicas never both find shards to claim while the
    /// other owns some.
    #[test]
    fn one_owner_takes_all_or_nothing(view in views()) {
        let me = name(0);
        let assigned = Sharing::OneOwner.assign(&view, &me);
        let owners = owners(&view);
        if owners.iter().flatten().any(|owner| *owner != me) {
            prop_assert_eq!(assigned, owners);
        } else {
            prop_assert_eq!(assigned, vec![Some(me); view.shards.len()]);
        }
    }
}
