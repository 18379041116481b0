//! What the next owner of a shard may believe.

use super::*;

/// A planned move doesn't raise the generation, so the entries that the next owner finds under it must be
/// good.
#[tokio::test(start_paused = true)]
async fn a_shard_is_handed_over_only_under_a_generation_that_can_be_believed() {
    let (cache, column, gate) = gate();
    assert!(gate.hand_over(S).await, "nothing to be put right");
    assert_eq!(column.calls.load(Ordering::SeqCst), 0);

    // The cache is away from this replica, and perhaps not from the next owner: version 1 stays in the cache.
    let id = some_id();
    gate.write(vec![(S, order(id, 1))]).await;
    cache.set(Mode::Fails);
    gate.write(vec![(S, order(id, 2))]).await;
    assert!(gate.generation(S).is_none());
    column.failures_left.store(1, Ordering::SeqCst);
    assert!(!gate.hand_over(S).await, "not stored");
    assert!(gate.hand_over(S).await);
    let stored = column.generations.lock()[&S];
    assert_eq!(gate.generation(S), Some(stored));
    let left = cache.views.lock()[&id].generation;
    assert!(left < stored, "what is left there is believed by nobody");
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_handed_over_only_when_its_writes_are_confirmed() {
    let (_, _, gate) = gate();
    let unconfirmed = gate.committed(committed(vec![(S, order(some_id(), 1))]));
    assert!(gate.hand_over(OTHER).await, "nothing of it is under way");
    let handed_over = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.hand_over(S).await })
    };
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!handed_over.is_finished());
    unconfirmed.write().await;
    assert!(handed_over.await.expect("no panic"));
}
