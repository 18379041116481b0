//! How fast a link is: `cargo test --release -p trackops-cluster speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::support::{node, soon};
use crate::link::Links;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn calls_a_second() {
    let (a, b) = (node("a").await, node("b").await);
    let until = Instant::now() + Duration::from_secs(3);
    let mut callers = JoinSet::new();
    for _ in 0..128 {
        let (links, to) = (Arc::clone(&a.links), b.peer.clone());
        callers.spawn(async move {
            let request = Bytes::from(vec![7; 200]);
            let mut calls = 0_u32;
            while Instant::now() < until {
                links.call(&to, request.clone(), soon()).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    let calls: u32 = callers.join_all().await.into_iter().sum();
    println!("{} calls/s of 200 bytes, 128 in flight", calls / 3);

    let request = Bytes::from(vec![7; 200]);
    let mut times = Vec::new();
    for _ in 0..5000 {
        let before = Instant::now();
        a.links
            .call(&b.peer, request.clone(), soon())
            .await
            .unwrap();
        times.push(before.elapsed());
    }
    times.sort();
    println!("alone: p50 {:?}, p99 {:?}", times[2500], times[4950]);
}
