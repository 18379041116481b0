//! The part of the membership's suite about many nodes: compare-and-set, planned moves, views,
//! draining, hints.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use trackops::ports::journal::RowOutcome;
use trackops_cluster::membership::{
    ClusterView, Incarnation, Membership, MembershipError, NodeId, NodeView,
};
use trackops_cluster::{Epoch, ShardCount, ShardId};

use super::membership::{SHORT, node};
use super::support::{LEASE, Owned, ShardsFixture, new_order, seen, seen_of};

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn a_claim_under_a_stale_epoch_is_refused<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let (stale, fresh) = (ShardId(5), ShardId(6));
    let now = db.claim_again(stale).await;
    let (older, newer) = (db.epochs[&stale], Epoch(now.epoch.0 + 1));
    for wrong in [older, newer] {
        let wanted = [(stale, wrong), seen_of(&*membership, fresh).await];
        let claimed = membership.claim(&db.node, db.incarnation, &wanted).await;
        let claimed = claimed.unwrap();
        assert_eq!(claimed.len(), 1, "its neighbour is not held up");
        assert_eq!(claimed[0].shard, fresh);
    }
    let unchanged = seen_of(&*membership, stale).await;
    assert_eq!(unchanged, (stale, now.epoch));
}

pub async fn a_take_over_raises_the_epoch_and_leaves_the_generation<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let (b, new) = (node("b"), new_order());
    let row = db.creation(&new);
    let shard = row.shard;
    let before = db.claim_again(shard).await;
    let its = membership.join(&b, "x:2", LEASE).await.unwrap();
    let giver = (&db.node, db.incarnation);
    let taken = membership
        .take_over(&b, its, giver, &[(shard, before.epoch)])
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].shard, shard);
    assert!(taken[0].epoch > before.epoch);
    assert_eq!(taken[0].cache_generation, before.cache_generation);
    let view = membership.view().await.unwrap();
    assert_eq!(view.shard(shard).unwrap().owner, Some((b.clone(), its)));
    assert_eq!(view.shard(shard).unwrap().epoch, taken[0].epoch);

    // The giver writes no more, the taker does.
    let mut late = row.clone();
    late.epoch = before.epoch;
    let journal = db.fixture.journal();
    let outcome = journal.append(&[late]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Fenced]);
    let mut next = row;
    next.epoch = taken[0].epoch;
    let outcome = journal.append(&[next]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
    // And what it took it may offer on.
    let back = membership
        .take_over(
            &db.node,
            db.incarnation,
            (&b, its),
            &[(shard, taken[0].epoch)],
        )
        .await
        .unwrap();
    assert_eq!(back.len(), 1);
}

pub async fn a_take_over_of_what_is_not_the_givers_is_refused<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let b = node("b");
    let its = membership.join(&b, "x:2", LEASE).await.unwrap();
    let shard = ShardId(9);
    let epoch = db.claim_again(shard).await.epoch;
    let giver = (&db.node, db.incarnation);
    let refused = async |from, offer| {
        let taken = membership.take_over(&b, its, from, &[offer]).await;
        assert_eq!(taken.unwrap(), [], "{from:?} {offer:?}");
    };
    refused(giver, (shard, db.epochs[&shard])).await;
    refused(giver, (shard, Epoch(epoch.0 + 1))).await;
    let other_life = Incarnation(db.incarnation.0 + 1);
    refused((&db.node, other_life), (shard, epoch)).await;
    refused((&b, its), (shard, epoch)).await;
    let beyond = ShardId(ShardCount::DEFAULT.get());
    refused(giver, (beyond, epoch)).await;
    // Free is not the giver's either.
    membership.leave(&db.node, db.incarnation).await.unwrap();
    refused(giver, (shard, epoch)).await;
    assert_eq!(seen_of(&*membership, shard).await, (shard, epoch));
}

pub async fn a_renewal_brings_the_view<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let b = node("b");
    let its = membership.join(&b, "elsewhere:7", LEASE).await.unwrap();
    let shard = ShardId(0);
    let giver = (&db.node, db.incarnation);
    let offer = [(shard, db.epochs[&shard])];
    let taken = membership.take_over(&b, its, giver, &offer).await.unwrap();

    let view = membership.renew(&db.node, db.incarnation, LEASE).await;
    let view = view.unwrap();
    let names: Vec<&str> = view.nodes.iter().map(|node| node.node.0.as_str()).collect();
    assert_eq!(names, ["b", "node-a"]);
    let addresses: Vec<&str> = view.nodes.iter().map(|node| &*node.address).collect();
    assert_eq!(addresses, ["elsewhere:7", "127.0.0.1:7080"]);
    assert_eq!(view.nodes[0].incarnation, its);
    assert!(view.nodes.iter().all(NodeView::is_live));
    assert!(view.nodes.iter().all(|node| !node.draining));
    let numbers = view.shards.iter().map(|shard| shard.shard);
    assert!(numbers.eq(ShardCount::DEFAULT.iter()));
    assert_eq!(view.shards[0].owner, Some((b.clone(), its)));
    assert_eq!(view.shards[0].epoch, taken[0].epoch);
    let mine = Some((db.node.clone(), db.incarnation));
    for shard in &view.shards[1..] {
        assert_eq!(shard.owner, mine);
        assert_eq!(shard.epoch, db.epochs[&shard.shard]);
    }

    membership.leave(&b, its).await.unwrap();
    let view = membership.view().await.unwrap();
    assert_eq!(view.nodes.len(), 1, "who left is left out");
    let free = &view.shards[0];
    assert_eq!((free.owner.as_ref(), free.epoch), (None, taken[0].epoch));
}

pub async fn draining_holds_until_the_next_join<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let draining = async || {
        let view = membership.renew(&db.node, db.incarnation, LEASE).await;
        view.unwrap().nodes[0].draining
    };
    membership.set_draining(&db.node, true).await.unwrap();
    assert!(draining().await);
    membership.set_draining(&db.node, true).await.unwrap();
    assert!(draining().await);
    membership.set_draining(&db.node, false).await.unwrap();
    assert!(!draining().await);
    membership.set_draining(&db.node, true).await.unwrap();
    membership
        .set_draining(&node("nobody"), true)
        .await
        .unwrap();
    membership.leave(&db.node, db.incarnation).await.unwrap();
    membership.join(&db.node, "x:1", LEASE).await.unwrap();
    let view = membership.view().await.unwrap();
    assert_eq!(view.nodes.len(), 1);
    assert!(!view.nodes[0].draining);
}

pub async fn a_view_shows_what_is_left_of_leases<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let b = node("b");
    let its = membership.join(&b, "x:2", SHORT).await.unwrap();
    // The lease has to run out by the store's clock.
    tokio::time::sleep(SHORT + SHORT / 2).await;
    let view = membership.view().await.unwrap();
    let ended = view.node(&b, its).expect("nobody has looked for it yet");
    assert!(!ended.is_live());
    let me = view.node(&db.node, db.incarnation).unwrap();
    assert!(me.remaining <= LEASE && me.remaining > LEASE / 2, "{me:?}");
    assert_eq!(view.live_owner(ShardId(3)), Some(me));
}

pub async fn a_take_over_needs_a_lease<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let b = node("b");
    let its = membership.join(&b, "x:2", SHORT).await.unwrap();
    // The lease has to run out by the store's clock.
    tokio::time::sleep(SHORT + SHORT / 2).await;
    let offer = [(ShardId(3), db.epochs[&ShardId(3)])];
    let taken = membership
        .take_over(&b, its, (&db.node, db.incarnation), &offer)
        .await;
    assert!(matches!(taken, Err(MembershipError::Deposed)), "{taken:?}");
    assert_eq!(seen_of(&*membership, ShardId(3)).await, offer[0]);
}

pub async fn of_claimers_that_race_one_gets_each_shard<F: ShardsFixture>() {
    let db = F::fresh().await;
    let mut racers = Vec::new();
    for name in ["a", "b", "c"] {
        let membership = db.membership();
        let node = node(name);
        let incarnation = membership.join(&node, "x:1", LEASE).await.unwrap();
        racers.push((membership, node, incarnation));
    }
    let free = seen(&*racers[0].0).await;
    let mut claims = tokio::task::JoinSet::new();
    for (position, (membership, node, incarnation)) in racers.iter().enumerate() {
        let (membership, node, incarnation) = (Arc::clone(membership), node.clone(), *incarnation);
        let mut wanted = free.clone();
        wanted.rotate_left(position * 40);
        claims.spawn(async move {
            let claimed = membership.claim(&node, incarnation, &wanted).await;
            (node, claimed.unwrap())
        });
    }
    let mut got = BTreeSet::new();
    let mut winners = Vec::new();
    while let Some(claims) = claims.join_next().await {
        let (node, claimed) = claims.unwrap();
        for claim in claimed {
            assert!(got.insert(claim.shard), "{} twice", claim.shard);
            winners.push((claim.shard, node.clone(), claim.epoch));
        }
    }
    assert_eq!(got.len(), free.len());
    let view = racers[0].0.view().await.unwrap();
    for (shard, node, epoch) in winners {
        let shown = view.shard(shard).unwrap();
        assert_eq!(shown.owner.as_ref().unwrap().0, node);
        assert_eq!(shown.epoch, epoch);
    }
}

/// Takes in what is still on its way, does `change`, and sees it hinted at.
async fn hinted<T>(
    membership: &dyn Membership,
    change: impl Future<Output = Result<T, MembershipError>>,
    what: &str,
) -> T {
    // Quiet for so long, nothing of earlier changes is on its way any more.
    while timeout(SHORT * 2, membership.changed()).await.is_ok() {}
    let result = change.await.unwrap();
    let hint = timeout(PATIENCE, membership.changed()).await;
    hint.unwrap_or_else(|_| panic!("no hint of {what}"))
        .unwrap();
    result
}

pub async fn changes_are_hinted_at<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    // One waits while others change things.
    let (waits, acts) = (db.fixture.membership(), db.fixture.membership());
    let b = node("b");
    let shown = async |what: fn(&ClusterView) -> bool| what(&waits.view().await.unwrap());

    let its = hinted(&*waits, acts.join(&b, "x:2", LEASE), "joining").await;
    assert!(shown(|view| view.nodes.len() == 2).await);
    hinted(&*waits, acts.set_draining(&b, true), "draining").await;
    assert!(shown(|view| view.nodes[0].draining).await);
    let offer = [(ShardId(0), db.epochs[&ShardId(0)])];
    let giver: (&NodeId, _) = (&db.node, db.incarnation);
    let take = acts.take_over(&b, its, giver, &offer);
    let taken = hinted(&*waits, take, "a take-over").await;
    let again = [(ShardId(0), taken[0].epoch)];
    hinted(&*waits, acts.claim(&b, its, &again), "a claim").await;
    hinted(&*waits, acts.leave(&b, its), "leaving").await;
    assert!(shown(|view| view.nodes.len() == 1).await);

    // What changes nothing is no hint, and neither is a renewal.
    while timeout(SHORT * 2, waits.changed()).await.is_ok() {}
    acts.renew(&db.node, db.incarnation, LEASE).await.unwrap();
    let stale = acts.claim(&db.node, db.incarnation, &again).await;
    assert_eq!(stale.unwrap(), []);
    let quiet = timeout(SHORT * 2, waits.changed()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

pub async fn a_view_tells_the_time<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let first = membership.view().await.unwrap().now_ms;
    // In this century, and by no other unit.
    assert!((1_700_000_000_000..4_000_000_000_000).contains(&first));
    let renewed = membership.renew(&db.node, db.incarnation, LEASE).await;
    let renewed = renewed.unwrap().now_ms;
    let passed = renewed - first;
    assert!((0..60_000).contains(&passed), "{passed} ms");
}
