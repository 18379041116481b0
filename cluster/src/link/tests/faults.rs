//! Tests of links that break: the errors of callers, and how links come back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::proxy::Proxy;
use super::support::{Node, SECRET, bytes, node, node_with, settings, soon};
use crate::link::{LinkError, LinkSettings, LinkStatus, Links, Peer, Trouble};

/// Two nodes, the second behind a proxy.
async fn apart(settings: LinkSettings) -> (Node, Node, Proxy, Peer) {
    let a = node_with("a", 1, "127.0.0.1:0", SECRET, settings).await;
    let b = node("b").await;
    let proxy = Proxy::to(&b.peer.address).await;
    let to = Peer {
        address: proxy.address.clone(),
        ..b.peer.clone()
    };
    (a, b, proxy, to)
}

/// Calls until one succeeds: the link comes back by itself, not by a timer of the test.
async fn until_up(a: &Node, to: &Peer) -> usize {
    let mut failures = 0;
    let up = async {
        while let Err(error) = a.links.call(to, bytes("again"), soon()).await {
            assert!(matches!(error, LinkError::NotSent(_)), "{error:?}");
            failures += 1;
            tokio::task::yield_now().await;
        }
    };
    let up = tokio::time::timeout(Duration::from_secs(10), up).await;
    up.unwrap_or_else(|_| panic!("the link didn't come back"));
    failures
}

#[tokio::test]
async fn a_killed_peer_loses_what_was_written_and_comes_back() {
    let (a, b) = (node("a").await, node("b").await);
    let (links, to) = (Arc::clone(&a.links), b.peer.clone());
    let call = tokio::spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    b.script.wait_for("holding", 1).await;
    // No time to end anything: as a kill does.
    b.links.stop(Duration::ZERO).await;
    let lost = call.await.unwrap();
    assert!(
        matches!(lost, Err(LinkError::Lost(_))),
        "before its deadline: {lost:?}"
    );

    let gone = a.links.call(&b.peer, bytes("x"), soon()).await;
    assert!(matches!(gone, Err(LinkError::NotSent(_))), "{gone:?}");
    assert_ne!(a.links.states()[0].status, LinkStatus::Up);
    let again = node_with("b", 1, &b.peer.address, SECRET, settings()).await;
    until_up(&a, &again.peer).await;
    let state = &a.links.states()[0];
    assert_eq!(state.status, LinkStatus::Up);
    assert!(state.last_error.is_some(), "it stays to be seen");
}

#[tokio::test]
async fn a_silent_peer_is_found_and_its_calls_are_lost() {
    let (a, b, proxy, to) = apart(settings()).await;
    a.links.call(&to, bytes("hello"), soon()).await.unwrap();
    proxy.freeze(true);
    let before = Instant::now();
    let far = before + Duration::from_secs(60);
    let lost = a.links.call(&to, bytes("hold"), far).await;
    assert!(
        matches!(lost, Err(LinkError::Lost(_))),
        "before its deadline: {lost:?}"
    );
    let found = before.elapsed();
    assert!(found > Duration::from_millis(1200), "{found:?}");
    b.script.wait_for("disconnected a/1", 1).await;
    // While it is known to be down a call fails without waiting for an attempt.
    until_down(&a).await;
    let down = tokio::select! {
        biased;
        answer = a.links.call(&to, bytes("x"), far) => answer,
        () = std::future::ready(()) => panic!("it waits"),
    };
    assert!(matches!(down, Err(LinkError::NotSent(_))), "{down:?}");
    proxy.freeze(false);
    until_up(&a, &to).await;
}

async fn until_down(a: &Node) {
    let down = async {
        while a.links.states()[0].status != LinkStatus::Down {
            tokio::task::yield_now().await;
        }
    };
    let down = tokio::time::timeout(Duration::from_secs(5), down).await;
    down.unwrap_or_else(|_| panic!("the link wasn't given up"));
}

#[tokio::test]
async fn what_was_never_written_is_not_sent_and_a_full_queue_is_full() {
    let small = LinkSettings {
        calls_max: 64,
        calls_bytes_max: 100 * 1024 * 1024,
        ..settings()
    };
    let (a, _b, proxy, to) = apart(small).await;
    a.links.call(&to, bytes("hello"), soon()).await.unwrap();
    proxy.freeze(true);
    // Far more than the windows and the sockets' buffers take.
    let large = Bytes::from(vec![1; 1024 * 1024]);
    let mut calls = JoinSet::new();
    for _ in 0..70 {
        let (links, to, large) = (Arc::clone(&a.links), to.clone(), large.clone());
        calls.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(60);
            links.call(&to, large, deadline).await
        });
    }
    let (mut not_sent, mut lost, mut full) = (0, 0, 0);
    while let Some(outcome) = calls.join_next().await {
        match outcome.unwrap() {
            Err(LinkError::NotSent(_)) => not_sent += 1,
            Err(LinkError::Lost(_)) => lost += 1,
            Err(LinkError::Full) => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(full, 6, "64 are in flight, 6 find no room");
    assert!(
        lost >= 1 && not_sent >= 32,
        "{lost} lost, {not_sent} not sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_is_told_to_the_receiver_before_anything_new_arrives() {
    let (a, b, proxy, to) = apart(settings()).await;
    a.links.send(&to, bytes("one")).await.unwrap();
    b.script.wait_for("message one", 1).await;
    // Long enough for the new link to overtake, if it could.
    *b.script.parting.lock() = Duration::from_millis(200);
    // Another connection of the same incarnation replaces the first.
    let second = Proxy::to(&b.peer.address).await;
    let elsewhere = Peer {
        address: second.address.clone(),
        ..to.clone()
    };
    a.links.send(&elsewhere, bytes("two")).await.unwrap();
    b.script.wait_for("message two", 1).await;
    let log = b.script.log.lock().clone();
    assert_eq!(log, ["message one", "disconnected a/1", "message two"]);
    drop(proxy);
}

#[tokio::test]
async fn a_panic_on_a_message_ends_the_link_and_is_told() {
    let (a, b) = (node("a").await, node("b").await);
    a.links.send(&b.peer, bytes("panic")).await.unwrap();
    b.script.wait_for("disconnected a/1", 1).await;
    until_up(&a, &b.peer).await;
    a.links.send(&b.peer, bytes("next")).await.unwrap();
    b.script.wait_for("message next", 1).await;
}

#[tokio::test]
async fn a_new_life_takes_the_place_of_the_old() {
    let (a, b) = (node("a").await, node("b").await);
    a.links.call(&b.peer, bytes("hello"), soon()).await.unwrap();
    let (links, to) = (Arc::clone(&a.links), b.peer.clone());
    let held = tokio::spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    b.script.wait_for("holding", 1).await;
    let newer = node_with("b", 2, "127.0.0.1:0", SECRET, settings()).await;
    a.links
        .call(&newer.peer, bytes("hello"), soon())
        .await
        .unwrap();
    let lost = held.await.unwrap();
    assert!(
        matches!(lost, Err(LinkError::Lost(Trouble::Superseded))),
        "{lost:?}"
    );
    let old = a.links.call(&b.peer, bytes("hello"), soon()).await;
    assert!(
        matches!(old, Err(LinkError::NotSent(Trouble::Superseded))),
        "{old:?}"
    );
    assert_eq!(a.links.states().len(), 1);
}

#[tokio::test]
async fn stopping_ends_calls_under_way_in_good_order() {
    let (a, b) = (node("a").await, node("b").await);
    let (links, to) = (Arc::clone(&a.links), b.peer.clone());
    let held = tokio::spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    b.script.wait_for("holding", 1).await;
    let links = Arc::clone(&b.links);
    let stopping = tokio::spawn(async move { links.stop(Duration::from_hours(1)).await });
    until_down(&a).await;
    let late = a.links.call(&b.peer, bytes("late"), soon()).await;
    assert!(matches!(late, Err(LinkError::NotSent(_))), "{late:?}");
    assert!(!stopping.is_finished(), "it waits for the call");
    b.script.gate.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap(), "hold");
    let stopped = tokio::time::timeout(Duration::from_mins(1), stopping).await;
    stopped.expect("it waits for nothing else").unwrap();
    b.script.wait_for("disconnected a/1", 1).await;
    let own = b.links.call(&a.peer, bytes("x"), soon()).await;
    assert!(
        matches!(own, Err(LinkError::NotSent(Trouble::Stopping))),
        "{own:?}"
    );
    assert_eq!(Arc::strong_count(&b.script), 1, "nothing is left behind");
}
