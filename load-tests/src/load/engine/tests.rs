//! The engine against a server with a known pause.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::test_server::{Script, serve};

struct Gets(SocketAddr);

impl Traffic for Gets {
    fn request(&self, _slot: u64, _rng: &mut SmallRng, request: &mut Vec<u8>) {
        request.extend_from_slice(&crate::http::get(self.0, "/"));
    }
}

async fn run_against(delay_ms: u64, connections: usize, plan: Plan) -> (Outcome, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let delay = Duration::from_millis(delay_ms);
    let address = serve(Script::Created {
        delay,
        count: Arc::clone(&count),
    })
    .await;
    let mut pool = Pool::open(address, connections)
        .await
        .expect("the server listens");
    let outcome = run(plan, &mut pool, Arc::new(Gets(address)))
        .await
        .expect("the run ends");
    assert_eq!(pool.0.len(), connections, "connections come back");
    (outcome, count.load(Ordering::Relaxed))
}

#[tokio::test]
async fn every_accepted_request_was_counted_by_the_server() {
    let plan = Plan::timed(500, Duration::from_millis(100), Duration::from_millis(400));
    let (outcome, served) = run_against(2, 16, plan).await;
    assert!(outcome.is_clean(), "{}", outcome.describe());
    assert_eq!((outcome.accepted, served), (250, 250));
    assert_eq!(outcome.latency.count, 200);
}

#[tokio::test]
async fn waiting_for_a_busy_server_is_part_of_the_latency() {
    // One connection, 20 ms an answer, a request due every 10 ms: the 30th is sent 300 ms late.
    let plan = Plan::counted(100, 30);
    let (outcome, _) = run_against(20, 1, plan).await;
    assert!(outcome.latency.max_ms >= 290.0, "{}", outcome.describe());
}

#[tokio::test]
async fn a_hopeless_rate_is_given_up() {
    let mut plan = Plan::counted(1000, 5000);
    plan.lag_max = Some(Duration::from_millis(100));
    let (outcome, served) = run_against(20, 1, plan).await;
    assert_eq!(outcome.accepted, served);
    assert_eq!(outcome.accepted + outcome.not_sent, 5000);
    assert!(!outcome.is_clean());
}

#[tokio::test]
async fn full_speed_ends_in_time_and_counts_from_when_it_sent() {
    let plan = Plan::full_speed(Duration::from_millis(300));
    let (outcome, served) = run_against(20, 2, plan).await;
    assert!(outcome.is_clean(), "{}", outcome.describe());
    assert_eq!(outcome.accepted, served);
    // Two connections, 20 ms an answer: 30 at most, and fewer on a busy machine.
    assert!((2..=32).contains(&served), "{served}");
    assert!(outcome.latency.p50_ms < 290.0, "{}", outcome.describe());
}
