//! Answers that don't wait for the cache.

use super::*;

/// An order that was answered before the cache confirmed it is read elsewhere until then.
#[tokio::test(start_paused = true)]
async fn what_is_not_confirmed_is_not_read_from_the_cache() {
    let (recorder, handle) = recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let (cache, _, gate) = gate();
    let (id, neighbour) = (some_id(), some_id());
    gate.write(vec![(S, order(id, 1)), (S, order(neighbour, 1))])
        .await;
    let unconfirmed = gate.committed(committed(vec![(S, order(id, 2))]));
    assert_eq!(shown(&gate, S, id).await, None, "version 1 is there still");
    assert_eq!(shown(&gate, S, neighbour).await, Some(Version(1)));
    let read = gate.get_or_load(S, id, async { Ok::<_, Infallible>(Some(order(id, 2))) });
    let read = read.await.expect("loaded").expect("there");
    assert_eq!(read.version, Version(2), "from the journal");

    // Two writes in flight: the confirmation of the first isn't enough.
    let later = gate.committed(committed(vec![(S, order(id, 3))]));
    unconfirmed.write().await;
    assert_eq!(shown(&gate, S, id).await, None);
    later.write().await;
    assert_eq!(shown(&gate, S, id).await, Some(Version(3)));

    // A failed write makes the entries unreadable before its mark is cleared.
    cache.set(Mode::Fails);
    gate.committed(committed(vec![(S, order(neighbour, 2))]))
        .write()
        .await;
    assert_eq!(
        (gate.generation(S), gate.pending.has(neighbour)),
        (None, false)
    );
    assert!(!handle.render().contains("invariant=\"I8\""));
}

#[tokio::test(start_paused = true)]
async fn a_slow_cache_is_not_run_away_from() {
    let (_, _, gate) = gate();
    let write = || gate.committed(committed(vec![(S, order(some_id(), 1))]));
    let mut ahead: Vec<_> = (0..16).map(|_| write().ahead()).collect();
    assert!(ahead.iter().all(Option::is_some));
    assert!(write().ahead().is_none(), "the caller waits for the write");
    ahead.pop();
    assert!(write().ahead().is_some());
}
