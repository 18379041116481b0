//! Tests of a working link.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::{SECRET, bytes, node, node_with, settings, soon};
use crate::link::{LinkError, LinkSettings, LinkStatus, Links, Trouble};

#[tokio::test]
async fn a_call_is_answered_and_the_link_shown() {
    let (a, b) = (node("a").await, node("b").await);
    assert!(a.links.states().is_empty());
    let answer = a.links.call(&b.peer, bytes("hello"), soon()).await;
    assert_eq!(answer.unwrap(), "hello");
    let answer = a.links.call(&b.peer, bytes("who"), soon()).await;
    assert_eq!(answer.unwrap(), "a/1");
    let states = a.links.states();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].node, b.peer.node);
    assert_eq!(states[0].address, b.peer.address);
    assert_eq!(states[0].status, LinkStatus::Up);
    assert_eq!(states[0].calls_in_flight, 0);
    assert!(states[0].last_error.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_in_flight_each_get_their_own_answer() {
    let (a, b) = (node("a").await, Arc::new(node("b").await));
    let mut callers = JoinSet::new();
    for caller in 0..128 {
        let (links, to) = (Arc::clone(&a.links), b.peer.clone());
        callers.spawn(async move {
            for turn in 0..50 {
                let request = format!("{caller}/{turn}/{}", "x".repeat(200));
                let answer = links.call(&to, bytes(&request), soon()).await;
                assert_eq!(answer.unwrap(), request);
            }
        });
    }
    callers.join_all().await;
    assert_eq!(b.script.served.load(Ordering::Relaxed), 128 * 50);
}

#[tokio::test]
async fn calls_overtake_a_slow_one() {
    let (a, b) = (node("a").await, node("b").await);
    let (links, to) = (Arc::clone(&a.links), b.peer.clone());
    let slow = tokio::spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    b.script.wait_for("holding", 1).await;
    assert!(a.links.call(&b.peer, bytes("quick"), soon()).await.is_ok());
    assert_eq!(a.links.states()[0].calls_in_flight, 1);
    b.script.gate.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap(), "hold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_beside_calls() {
    let (a, b) = (node("a").await, node("b").await);
    for number in 0..3000 {
        a.links
            .send(&b.peer, bytes(&number.to_string()))
            .await
            .unwrap();
        if number % 100 == 0 {
            a.links.call(&b.peer, bytes("call"), soon()).await.unwrap();
        }
    }
    let received = b.script.wait_for("message", 3000).await;
    for (number, message) in received.iter().enumerate() {
        assert_eq!(*message, format!("message {number}"));
    }
}

#[tokio::test]
async fn a_slow_receiver_holds_the_sender_back_and_calls_pass() {
    let small = LinkSettings {
        messages_max: 4,
        ..settings()
    };
    let a = node_with("a", 1, "127.0.0.1:0", SECRET, small.clone()).await;
    let b = node_with("b", 1, "127.0.0.1:0", SECRET, small).await;
    a.links.send(&b.peer, bytes("hold")).await.unwrap();
    let mut sent = 0;
    let large = Bytes::from(vec![b'x'; 256 * 1024]);
    let stalled = async {
        // Queue here, flow control window, queue there: far fewer than a hundred messages.
        while sent < 100 {
            a.links.send(&b.peer, large.clone()).await.unwrap();
            sent += 1;
        }
    };
    let stalled = tokio::time::timeout(Duration::from_millis(500), stalled).await;
    assert!(stalled.is_err(), "{sent} messages were taken without room");
    assert!(sent >= 8, "only {sent}");
    // The other direction is a link of its own.
    assert!(b.links.call(&a.peer, bytes("call"), soon()).await.is_ok());
    b.script.gate.add_permits(1);
    b.script.wait_for("message", sent).await;
    assert!(a.links.call(&b.peer, bytes("call"), soon()).await.is_ok());
}

#[tokio::test]
async fn too_many_calls_are_refused_at_once() {
    let small = LinkSettings {
        calls_max: 2,
        ..settings()
    };
    let a = node_with("a", 1, "127.0.0.1:0", SECRET, small).await;
    let b = node("b").await;
    let mut held = JoinSet::new();
    for _ in 0..2 {
        let (links, to) = (Arc::clone(&a.links), b.peer.clone());
        held.spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    }
    b.script.wait_for("holding", 2).await;
    let refused = a.links.call(&b.peer, bytes("more"), soon()).await;
    assert!(matches!(refused, Err(LinkError::Full)), "{refused:?}");
    b.script.gate.add_permits(2);
    held.join_all().await;
    assert!(a.links.call(&b.peer, bytes("more"), soon()).await.is_ok());
}

#[tokio::test]
async fn calls_that_weigh_too_much_together_are_refused_at_once() {
    let small = LinkSettings {
        calls_bytes_max: 6,
        ..settings()
    };
    let a = node_with("a", 1, "127.0.0.1:0", SECRET, small).await;
    let b = node("b").await;
    let (links, to) = (Arc::clone(&a.links), b.peer.clone());
    let held = tokio::spawn(async move { links.call(&to, bytes("hold"), soon()).await });
    b.script.wait_for("holding", 1).await;
    let refused = a.links.call(&b.peer, bytes("four"), soon()).await;
    assert!(matches!(refused, Err(LinkError::Full)), "{refused:?}");
    assert!(a.links.call(&b.peer, bytes("2."), soon()).await.is_ok());
    b.script.gate.add_permits(1);
    held.await.unwrap().unwrap();
    let alone = bytes("more than all of it");
    assert!(a.links.call(&b.peer, alone, soon()).await.is_ok());
}

#[tokio::test]
async fn a_deadline_travels_and_ends_the_call_at_both_ends() {
    let (a, b) = (node("a").await, node("b").await);
    let minute = Duration::from_mins(1);
    let deadline = Instant::now() + minute;
    a.links
        .call(&b.peer, bytes("left"), deadline)
        .await
        .unwrap();
    let left_now = deadline - Instant::now();
    let left = b.script.left.lock().unwrap();
    // It travels in whole milliseconds.
    let least = left_now.saturating_sub(Duration::from_millis(2));
    assert!((least..=minute).contains(&left), "{left:?}");

    let deadline = Instant::now() + Duration::from_millis(200);
    let late = a.links.call(&b.peer, bytes("hold"), deadline).await;
    assert!(matches!(late, Err(LinkError::TimedOut)), "{late:?}");
    assert_eq!(a.links.states()[0].calls_in_flight, 0);
    b.script.wait_for("dropped", 1).await;

    let over = a.links.call(&b.peer, bytes("late"), Instant::now()).await;
    assert!(matches!(over, Err(LinkError::TimedOut)), "{over:?}");
    assert!(a.links.call(&b.peer, bytes("next"), soon()).await.is_ok());
}

#[tokio::test]
async fn what_is_too_large_fails_alone() {
    let (a, b) = (node("a").await, node("b").await);
    let large = Bytes::from(vec![1; 5 * 1024 * 1024]);
    let refused = a.links.call(&b.peer, large, soon()).await;
    assert!(
        matches!(refused, Err(LinkError::NotSent(Trouble::TooLarge { .. }))),
        "{refused:?}"
    );
    let lost = a.links.call(&b.peer, bytes("large"), soon()).await;
    assert!(
        matches!(lost, Err(LinkError::Lost(Trouble::TooLarge { .. }))),
        "{lost:?}"
    );
    let most = Bytes::from(vec![1; 4 * 1024 * 1024]);
    assert_eq!(
        a.links.call(&b.peer, most.clone(), soon()).await.unwrap(),
        most
    );
    assert!(b.script.logged("disconnected").is_empty());
}

#[tokio::test]
async fn a_panic_of_the_service_is_one_lost_call() {
    let (a, b) = (node("a").await, node("b").await);
    let lost = a.links.call(&b.peer, bytes("panic"), soon()).await;
    assert!(
        matches!(lost, Err(LinkError::Lost(Trouble::ServiceFailed))),
        "{lost:?}"
    );
    assert!(a.links.call(&b.peer, bytes("next"), soon()).await.is_ok());
    assert!(b.script.logged("disconnected").is_empty());
}

#[tokio::test]
async fn a_third_replica_relays_one_hop() {
    let (a, b, c) = (node("a").await, node("b").await, node("c").await);
    let answer = a.links.relay(&c.peer, &b.peer, bytes("who"), soon()).await;
    assert_eq!(answer.unwrap(), "a/1", "the caller is who asked first");
    assert_eq!(c.script.served.load(Ordering::Relaxed), 0);
    assert_eq!(c.links.states()[0].node, b.peer.node);

    let deadline = Instant::now() + Duration::from_millis(200);
    let late = a
        .links
        .relay(&c.peer, &b.peer, bytes("hold"), deadline)
        .await;
    assert!(matches!(late, Err(LinkError::TimedOut)), "{late:?}");

    b.links.stop(Duration::from_secs(1)).await;
    let gone = a.links.relay(&c.peer, &b.peer, bytes("who"), soon()).await;
    assert!(matches!(gone, Err(LinkError::NotSent(_))), "{gone:?}");
}
