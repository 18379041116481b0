//! The proxy before stand-ins that say whether they are ready.

use std::sync::atomic::AtomicU16;

use super::*;
use crate::test_server::{Script, serve as serve_script};

/// A replica whose public listener answers with a number of its own.
struct Stand {
    number: u16,
    ready: Arc<AtomicU16>,
    addresses: (SocketAddr, SocketAddr),
}

impl Stand {
    async fn new(number: u16) -> Self {
        let own = Arc::new(AtomicU16::new(number));
        let ready = Arc::new(AtomicU16::new(200));
        let public = serve_script(Script::Status(own)).await;
        let management = serve_script(Script::Status(Arc::clone(&ready))).await;
        Self {
            number,
            ready,
            addresses: (public, management),
        }
    }
}

/// A proxy before `replicas`, and who they are; the readiness is asked for once.
async fn proxy(replicas: Vec<(SocketAddr, SocketAddr)>) -> (SocketAddr, Arc<Replicas>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let replicas = Replicas::of(replicas);
    for replica in &replicas.all {
        tokio::spawn(ask(Arc::clone(replica)));
    }
    tokio::spawn(serve(listener, Arc::clone(&replicas)));
    (address, replicas)
}

async fn knows(replicas: &Replicas, ready: &[bool]) {
    let is_known = || {
        let known = replicas.all.iter().zip(ready);
        known
            .into_iter()
            .all(|(replica, ready)| replica.ready.load(Ordering::Relaxed) == *ready)
    };
    for _ in 0..500 {
        if is_known() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the proxy doesn't learn who is ready: {ready:?}");
}

/// Who answers each of so many new connections; sorted.
async fn answers(proxy: SocketAddr, count: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::new(proxy);
        let request = get(proxy, "/");
        // Twice: a connection stays with its replica.
        let first = connection.call(&request).await.expect("an answer").status;
        let second = connection.call(&request).await.expect("an answer").status;
        assert_eq!(first, second);
        found.push(first);
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn connections_go_round_those_that_are_ready() {
    let stands = [
        Stand::new(201).await,
        Stand::new(202).await,
        Stand::new(203).await,
    ];
    let addresses = stands.iter().map(|stand| stand.addresses).collect();
    let (proxy, replicas) = proxy(addresses).await;
    knows(&replicas, &[true, true, true]).await;
    assert_eq!(answers(proxy, 6).await, [201, 201, 202, 202, 203, 203]);

    // It is stopping: still there, but takes no new connections from here.
    stands[1].ready.store(503, Ordering::Relaxed);
    knows(&replicas, &[true, false, true]).await;
    assert!(!answers(proxy, 6).await.contains(&stands[1].number));

    stands[1].ready.store(200, Ordering::Relaxed);
    knows(&replicas, &[true, true, true]).await;
    assert!(answers(proxy, 6).await.contains(&stands[1].number));
}

#[tokio::test]
async fn one_that_is_gone_is_passed_over_also_before_that_is_known() {
    let there = Stand::new(201).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let gone = nobody.local_addr().expect("bound");
    drop(nobody);
    let (proxy, replicas) = proxy(vec![(gone, there.addresses.1), there.addresses]).await;
    // Its management says that it is ready, and nobody takes its connections.
    knows(&replicas, &[true, true]).await;
    assert_eq!(answers(proxy, 4).await, [201; 4]);
}

#[tokio::test]
async fn where_nobody_is_ready_whoever_is_there_says_why() {
    let stand = Stand::new(503).await;
    stand.ready.store(503, Ordering::Relaxed);
    let (proxy, replicas) = proxy(vec![stand.addresses]).await;
    knows(&replicas, &[false]).await;
    assert_eq!(answers(proxy, 2).await, [503; 2]);
}
