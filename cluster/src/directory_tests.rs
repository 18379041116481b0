//! Which views and claims the directory believes.

use std::time::Duration;

use super::*;

const LEASE: Duration = Duration::from_millis(1500);
const SHARD: ShardId = ShardId(1);

fn count() -> ShardCount {
    ShardCount::new(3).expect("in range")
}

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

fn node(name: &str, incarnation: i64, remaining: Duration) -> NodeView {
    NodeView {
        node: id(name),
        incarnation: Incarnation(incarnation),
        address: format!("{name}:{incarnation}"),
        draining: false,
        remaining,
    }
}

/// A view in which [`SHARD`] has this epoch and owner.
fn view(nodes: &[NodeView], epoch: i64, owner: Option<(&str, i64)>) -> ClusterView {
    let shards = count().iter().map(|shard| ShardView {
        shard,
        epoch: Epoch(if shard == SHARD { epoch } else { 0 }),
        owner: owner
            .filter(|_| shard == SHARD)
            .map(|(name, incarnation)| (id(name), Incarnation(incarnation))),
    });
    ClusterView {
        nodes: nodes.to_vec(),
        shards: shards.collect(),
        ..ClusterView::default()
    }
}

fn owner(name: &str, incarnation: i64, epoch: i64) -> Owner {
    Owner {
        node: id(name),
        incarnation: Incarnation(incarnation),
        address: format!("{name}:{incarnation}"),
        epoch: Epoch(epoch),
    }
}

fn at(millis: u64, start: Instant) -> Instant {
    start + Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_found_with_its_address() {
    let directory = Directory::new(count());
    assert_eq!(directory.owner(SHARD), None);
    assert_eq!(directory.seen(), None);
    let now = Instant::now();
    directory.update(view(&[node("a", 1, LEASE)], 5, Some(("a", 1))), now);
    assert_eq!(directory.owner(SHARD), Some(owner("a", 1, 5)));
    assert_eq!(directory.owner(ShardId(0)), None);
    assert_eq!(directory.owner(ShardId(99)), None);
    assert_eq!(directory.seen(), Some(now));
    assert_eq!(directory.view().shards[1].epoch, Epoch(5));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_once_the_lease_has_ended() {
    let directory = Directory::new(count());
    let start = Instant::now();
    let held = view(&[node("a", 1, LEASE)], 5, Some(("a", 1)));
    directory.update(held.clone(), start);
    // Not heard of since: it may be alive, and this replica cut off.
    tokio::time::advance(LEASE * 4).await;
    assert_eq!(directory.owner(SHARD), Some(owner("a", 1, 5)));
    let ended = view(&[node("a", 1, Duration::ZERO)], 5, Some(("a", 1)));
    directory.update(ended, at(400, start));
    assert_eq!(directory.owner(SHARD), None);
    // An answer that was overtaken doesn't bring it back.
    directory.update(held, at(200, start));
    assert_eq!(directory.owner(SHARD), None);
    // Neither does its next life, nor its row being gone.
    for nodes in [vec![node("a", 2, LEASE)], vec![]] {
        directory.update(view(&nodes, 5, Some(("a", 1))), at(800, start));
        assert_eq!(directory.owner(SHARD), None);
    }
}

#[tokio::test(start_paused = true)]
async fn it_never_goes_back_to_an_older_epoch() {
    let directory = Directory::new(count());
    let start = Instant::now();
    let nodes = [node("a", 1, LEASE), node("b", 1, LEASE)];
    directory.update(view(&nodes, 5, Some(("a", 1))), start);
    directory.learn(SHARD, owner("b", 1, 6));
    assert_eq!(directory.owner(SHARD), Some(owner("b", 1, 6)));
    assert_eq!(
        directory.view().shards[1].owner,
        Some((id("b"), Incarnation(1)))
    );
    // A view from before the move doesn't count, however late it was asked for.
    directory.update(view(&nodes, 5, Some(("a", 1))), at(400, start));
    assert_eq!(directory.owner(SHARD), Some(owner("b", 1, 6)));
    directory.learn(SHARD, owner("a", 1, 5));
    directory.learn(SHARD, owner("a", 1, 6));
    assert_eq!(directory.owner(SHARD), Some(owner("b", 1, 6)));
    // The learned one is dead by a view that doesn't know its claim yet.
    let dead = [node("a", 1, LEASE), node("b", 1, Duration::ZERO)];
    directory.update(view(&dead, 5, Some(("a", 1))), at(800, start));
    assert_eq!(directory.owner(SHARD), None);
    // A higher epoch counts, even from a view that was asked for earlier.
    directory.update(view(&nodes, 7, Some(("a", 1))), at(600, start));
    assert_eq!(directory.owner(SHARD), Some(owner("a", 1, 7)));
}

#[tokio::test(start_paused = true)]
async fn of_one_epoch_the_newer_view_counts() {
    let directory = Directory::new(count());
    let start = Instant::now();
    let nodes = [node("a", 1, LEASE)];
    directory.update(view(&nodes, 5, Some(("a", 1))), start);
    // It has left: the epoch stays as it was.
    directory.update(view(&[], 5, None), at(400, start));
    assert_eq!(directory.owner(SHARD), None);
    directory.update(view(&nodes, 5, Some(("a", 1))), at(200, start));
    assert_eq!(directory.owner(SHARD), None);
    directory.learn(SHARD, owner("a", 1, 5));
    assert_eq!(directory.owner(SHARD), None, "hearsay of the same epoch");
}

#[tokio::test(start_paused = true)]
async fn one_who_is_known_to_be_over_is_not_learned() {
    let directory = Directory::new(count());
    let nodes = [node("a", 2, LEASE), node("b", 1, Duration::ZERO)];
    directory.update(view(&nodes, 5, None), Instant::now());
    for over in [owner("a", 1, 6), owner("b", 1, 6)] {
        directory.learn(SHARD, over);
        assert_eq!(directory.owner(SHARD), None);
    }
    // A node that isn't known yet may have joined just now.
    directory.learn(SHARD, owner("c", 1, 6));
    assert_eq!(directory.owner(SHARD), Some(owner("c", 1, 6)));
    directory.learn(ShardId(99), owner("c", 1, 6));
}

#[tokio::test(start_paused = true)]
async fn only_what_has_changed_is_a_change() {
    let directory = Directory::new(count());
    let mut changes = directory.changes();
    let mut moved = || {
        let is_new = changes.has_changed();
        changes.mark_unchanged();
        is_new
    };
    let start = Instant::now();
    directory.update(view(&[node("a", 1, LEASE)], 5, Some(("a", 1))), start);
    assert!(moved());
    let renewed = view(&[node("a", 1, LEASE / 2)], 5, Some(("a", 1)));
    directory.update(renewed, at(400, start));
    assert!(!moved(), "a renewal alone");
    let mut draining = node("a", 1, LEASE);
    draining.draining = true;
    directory.update(view(&[draining], 5, Some(("a", 1))), at(800, start));
    assert!(moved());
    directory.learn(SHARD, owner("b", 1, 6));
    assert!(moved());
    directory.learn(SHARD, owner("b", 1, 6));
    assert!(!moved());
}

#[tokio::test(start_paused = true)]
async fn many_requests_for_a_refresh_are_one() {
    let directory = Directory::new(count());
    directory.ask_refresh();
    directory.ask_refresh();
    directory.refresh_asked().await;
    let again = tokio::time::timeout(LEASE, directory.refresh_asked()).await;
    assert!(again.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_authoritys_clock_goes_on_from_the_middle_of_a_look() {
    let directory = Directory::new(count());
    assert_eq!(directory.now_ms(), None, "nothing was heard");
    let told = |now_ms| ClusterView {
        now_ms,
        ..view(&[], 0, None)
    };
    let asked = Instant::now();
    tokio::time::advance(Duration::from_millis(100)).await;
    directory.update(told(1_000_000), asked);
    assert_eq!(directory.now_ms(), Some(1_000_050));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(directory.now_ms(), Some(1_001_050));
    // Owners seen before say nothing about now.
    directory.update(
        told(5),
        asked.checked_sub(Duration::from_millis(50)).expect("later"),
    );
    assert_eq!(directory.now_ms(), Some(1_001_050));
    directory.update(told(2_000_000), Instant::now());
    assert_eq!(directory.now_ms(), Some(2_000_000));
}
