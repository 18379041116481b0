//! Replicas that are stopped, started and added under load, which no client notices.

use std::time::Duration;

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use super::latencies::Sample;
use crate::support::environment::free_port;
use crate::support::role::Launch;
use crate::support::wait::LONG;

/// What 99 of 100 commands may wait for while replicas come and go.
const P99_MAX: Duration = Duration::from_millis(250);
/// A machine on which commands wait for long while nothing happens at all is busy with something else:
/// the limit above is generous for 50 ms at rest, twice of what two free processors need. Where they
/// wait for longer than that, a restart may be slower by as much, for it is work on the same machine.
const SLOWER_MAX: u32 = 5;
/// So many commands at least are looked at, so that a 99th percentile is not one command's bad luck.
const SAMPLES_MIN: usize = 200;
/// Commands after each step, while the last one's consequences (sockets come back, consumer groups settle)
/// go on.
const AFTER_STEP: u64 = 40;

/// Stops a replica as an operator does, and waits until it is gone.
pub async fn stop(fleet: &mut Fleet, number: usize) {
    fleet.replica(number).signal("TERM");
    let status = fleet.replica(number).exit(LONG).await.expect("it stops");
    assert!(status.success(), "{status}");
}

/// The waits of commands while nothing happens.
async fn at_rest(watched: &Watched) -> Sample {
    // Not those from before.
    watched.clients.waits();
    watched.clients.more(2 * SAMPLES_MIN as u64).await;
    watched.clients.waits()
}

/// Fails if commands waited for longer than they may, of `during` between two times `at_rest`.
fn assert_unnoticed(at_rest: &[Sample; 2], during: &Sample) {
    let [before, after] = at_rest;
    eprintln!("waits of commands: before {before}; during {during}; after {after}");
    assert!(during.len() >= SAMPLES_MIN, "{during}");
    // Whoever loads the machine may have come or gone meanwhile.
    let rest = before.percentile(99).max(after.percentile(99));
    let limit = P99_MAX.max(rest * SLOWER_MAX);
    let is_unnoticed = during.percentile(99) <= limit;
    assert!(is_unnoticed, "{during}, where {limit:?} is allowed");
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request() {
    let mut fleet = Fleet::start(3, Plan::usual_lease()).await;
    let balancer = fleet.balancer(&[]).await;
    let address = balancer.address.to_string();
    let url = format!("http://{address}");
    let watched = Watched::start(vec![address], &url, Policy::Strict).await;
    let before = at_rest(&watched).await;
    for number in 0..3 {
        stop(&mut fleet, number).await;
        watched.clients.more(AFTER_STEP).await;
        fleet.replica(number).restart(None).await;
        fleet.balanced(3).await;
        watched.clients.more(AFTER_STEP).await;
    }
    let during = watched.clients.waits();
    assert_unnoticed(&[before, at_rest(&watched).await], &during);
    watched.finish(&mut fleet).await;
}

#[tokio::test]
async fn growing_and_shrinking_fails_no_request() {
    let mut fleet = Fleet::start(1, Plan::usual_lease()).await;
    let newcomers: Vec<Launch> = ["order-b", "order-c", "order-d"]
        .map(|name| {
            let listen = format!("127.0.0.1:{}", free_port());
            fleet.launch(name, vec![("TRACKOPS_LINK_LISTEN", listen)])
        })
        .into();
    let balancer = fleet.balancer(&newcomers).await;
    let address = balancer.address.to_string();
    let url = format!("http://{address}");
    let watched = Watched::start(vec![address], &url, Policy::Strict).await;
    let before = at_rest(&watched).await;
    for launch in newcomers {
        fleet.start_launch(launch).await;
        fleet.balanced(fleet.len()).await;
        watched.clients.more(AFTER_STEP).await;
    }
    for number in [3, 2] {
        stop(&mut fleet, number).await;
        fleet.balanced(number).await;
        watched.clients.more(AFTER_STEP).await;
    }
    let during = watched.clients.waits();
    assert_unnoticed(&[before, at_rest(&watched).await], &during);
    watched.finish(&mut fleet).await;
}
