//! The suite of [`trackops_cluster::membership::Membership`]. An adapter with one node by
//! construction runs `ownership_suite!` alone; one that several replicas share runs
//! `lease_suite!` too.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use trackops_cluster::membership::{ClusterView, Incarnation, Membership, MembershipError, NodeId};
use trackops_cluster::{ShardCount, ShardId};

use super::support::{LEASE, Owned, ShardsFixture, seen};

/// What holds for every authority.
macro_rules! ownership_suite {
    ($name:ident, $fixture:ty) => {
        $crate::contract::membership::membership_tests!($name, $fixture:
            a_claim_of_an_owned_shard_raises_epoch_and_generation,
            generations_rise_for_owned_shards,
            a_claim_under_a_stale_epoch_is_refused,
            a_take_over_raises_the_epoch_and_leaves_the_generation,
            a_take_over_of_what_is_not_the_givers_is_refused,
            a_renewal_brings_the_view,
            a_view_tells_the_time,
            draining_holds_until_the_next_join,
        );
    };
}
pub(crate) use ownership_suite;

/// What holds where several replicas share the authority.
macro_rules! lease_suite {
    ($name:ident, $fixture:ty) => {
        $crate::contract::membership::membership_tests!($name, $fixture:
            a_leased_node_id_is_taken,
            a_node_id_is_free_after_its_lease_or_leave,
            an_ended_lease_is_not_renewed,
            shards_of_the_living_are_not_claimed,
            shards_of_the_dead_and_gone_are_claimed,
            a_view_shows_what_is_left_of_leases,
            a_take_over_needs_a_lease,
            of_claimers_that_race_one_gets_each_shard,
            changes_are_hinted_at,
        );
    };
}
pub(crate) use lease_suite;

macro_rules! membership_tests {
    ($name:ident, $fixture:ty: $($test:ident,)+) => {
        mod $name {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                $crate::contract::membership::$test::<$fixture>().await;
            })+
        }
    };
}
pub(crate) use membership_tests;

pub use super::membership_moves::*;

/// Ends within a test's patience.
pub const SHORT: Duration = Duration::from_millis(60);

pub fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

/// Joins as soon as the lease of the node's last life has ended, by the authority's clock.
async fn join_when_free(membership: &dyn Membership, node: &NodeId) -> Incarnation {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match membership.join(node, "127.0.0.1:1", LEASE).await {
            Ok(incarnation) => return incarnation,
            Err(MembershipError::Taken { remaining, .. }) => {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "the lease never ends"
                );
                // The end of the lease, by the store's clock, is what is waited for.
                tokio::time::sleep(remaining.max(Duration::from_millis(1))).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub async fn a_claim_of_an_owned_shard_raises_epoch_and_generation<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    assert_eq!(membership.shard_count().await.unwrap(), ShardCount::DEFAULT);
    let first = db.claim_again(ShardId(7)).await;
    let second = db.claim_again(ShardId(7)).await;
    assert!(first.epoch > db.epochs[&ShardId(7)]);
    assert!(second.epoch > first.epoch);
    assert!(second.cache_generation > first.cache_generation);
    // Its neighbours are as they were: an append under their first epoch still counts.
    let rows = super::support::new_orders(50)
        .iter()
        .map(|new| db.creation(new))
        .filter(|row| row.shard != ShardId(7))
        .collect::<Vec<_>>();
    let outcomes = db.fixture.journal().append(&rows).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|o| *o == trackops::ports::journal::RowOutcome::Committed)
    );
    let unknown = ShardId(ShardCount::DEFAULT.get());
    let [one, nought] = [ShardId(1), ShardId(0)].map(|shard| (shard, db.epochs[&shard]));
    let wanted = [(unknown, nought.1), one, nought];
    let claimed = membership
        .claim(&db.node, db.incarnation, &wanted)
        .await
        .unwrap();
    let mut shards: Vec<_> = claimed.iter().map(|c| c.shard.0).collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1]);
}

pub async fn generations_rise_for_owned_shards<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let claimed = db.claim_again(ShardId(3)).await;
    let raised = membership
        .raise_cache_generation(&db.node, db.incarnation, &[ShardId(3), ShardId(4)])
        .await
        .unwrap();
    assert_eq!(raised.len(), 2);
    let generation = raised.iter().find(|(s, _)| *s == ShardId(3)).unwrap().1;
    assert!(generation > claimed.cache_generation);
    membership.leave(&db.node, db.incarnation).await.unwrap();
    let raised = membership
        .raise_cache_generation(&db.node, db.incarnation, &[ShardId(3)])
        .await
        .unwrap();
    assert_eq!(raised, [], "the shard is given up");
}

pub async fn a_leased_node_id_is_taken<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let refused = membership.join(&db.node, "elsewhere:1", LEASE).await;
    let Err(MembershipError::Taken { node, remaining }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(node, db.node.0);
    assert!(remaining <= LEASE && remaining > LEASE / 2, "{remaining:?}");
    membership
        .renew(&db.node, db.incarnation, LEASE)
        .await
        .expect("the living one is not disturbed");
}

pub async fn a_node_id_is_free_after_its_lease_or_leave<F: ShardsFixture>() {
    let db = F::fresh().await;
    let membership = db.membership();
    let a = node("a");
    let first = membership.join(&a, "x:1", SHORT).await.unwrap();
    let second = join_when_free(&*membership, &a).await;
    assert!(second > first);
    membership.leave(&a, second).await.unwrap();
    let third = membership.join(&a, "x:1", LEASE).await.unwrap();
    assert!(third > second);
    // The dead incarnation can't take the living one down.
    membership.leave(&a, first).await.ok();
    membership.renew(&a, third, LEASE).await.unwrap();
}

pub async fn an_ended_lease_is_not_renewed<F: ShardsFixture>() {
    let db = F::fresh().await;
    let membership = db.membership();
    let a = node("a");
    let deposed = |result: Result<ClusterView, MembershipError>| {
        assert!(
            matches!(result, Err(MembershipError::Deposed)),
            "{result:?}"
        );
    };
    let first = membership.join(&a, "x:1", SHORT).await.unwrap();
    // The lease has to run out by the store's clock.
    tokio::time::sleep(SHORT + SHORT / 2).await;
    deposed(membership.renew(&a, first, LEASE).await);
    let all = seen(&*membership).await;
    let claim = membership.claim(&a, first, &all).await;
    assert!(matches!(claim, Err(MembershipError::Deposed)), "{claim:?}");
    let second = join_when_free(&*membership, &a).await;
    deposed(membership.renew(&a, first, LEASE).await);
    membership.renew(&a, second, LEASE).await.unwrap();
    membership.leave(&a, second).await.unwrap();
    deposed(membership.renew(&a, second, LEASE).await);
    deposed(
        membership
            .renew(&node("never"), Incarnation(1), LEASE)
            .await,
    );
}

pub async fn shards_of_the_living_are_not_claimed<F: ShardsFixture>() {
    let db = Owned::<F>::fresh().await;
    let membership = db.fixture.membership();
    let b = node("b");
    let other = membership.join(&b, "x:2", LEASE).await.unwrap();
    let all = seen(&*membership).await;
    assert_eq!(membership.claim(&b, other, &all).await.unwrap(), []);
    let shards: Vec<ShardId> = ShardCount::DEFAULT.iter().collect();
    let raised = membership
        .raise_cache_generation(&b, other, &shards)
        .await
        .unwrap();
    assert_eq!(raised, []);
}

pub async fn shards_of_the_dead_and_gone_are_claimed<F: ShardsFixture>() {
    let db = F::fresh().await;
    let membership = db.membership();
    let (a, b, c) = (node("a"), node("b"), node("c"));
    let dying = membership.join(&a, "x:1", LEASE).await.unwrap();
    let all = seen(&*membership).await;
    let before = membership.claim(&a, dying, &all).await.unwrap();
    membership.renew(&a, dying, SHORT).await.unwrap();
    let heir = membership.join(&b, "x:2", LEASE).await.unwrap();
    // The lease has to run out by the store's clock.
    tokio::time::sleep(SHORT + SHORT / 2).await;
    let all = seen(&*membership).await;
    let mut taken = membership.claim(&b, heir, &all).await.unwrap();
    taken.sort_by_key(|claimed| claimed.shard);
    assert_eq!(taken.len(), before.len());
    for was in &before {
        let now = taken.iter().find(|now| now.shard == was.shard).unwrap();
        assert!(now.epoch > was.epoch && now.cache_generation > was.cache_generation);
    }

    membership.leave(&b, heir).await.unwrap();
    let third = membership.join(&c, "x:3", LEASE).await.unwrap();
    let all = seen(&*membership).await;
    let claimed = membership.claim(&c, third, &all).await.unwrap();
    assert_eq!(claimed.len(), before.len());
}
