//! Replicas that are stopped, started and added under load, which no client notices.

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use crate::support::environment::free_port;
use crate::support::role::Launch;
use crate::support::wait::LONG;

async fn stop(fleet: &mut Fleet, number: usize) {
    fleet.replica(number).signal("TERM");
    let status = fleet.replica(number).exit(LONG).await.expect("it stops");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request() {
    let mut fleet = Fleet::start(3, Plan::default()).await;
    let balancer = fleet.balancer(&[]).await;
    let address = balancer.address.to_string();
    let url = format!("http://{address}");
    let watched = Watched::start(vec![address], &url, Policy::Strict).await;
    watched.clients.longest();
    for number in 0..3 {
        stop(&mut fleet, number).await;
        fleet.replica(number).restart(None).await;
        fleet.balanced(3).await;
        watched.clients.more(20).await;
    }
    eprintln!("longest wait of a command: {:?}", watched.clients.longest());
    watched.finish(&mut fleet).await;
}

#[tokio::test]
async fn growing_and_shrinking_fails_no_request() {
    let mut fleet = Fleet::start(1, Plan::default()).await;
    let newcomers: Vec<Launch> = ["order-b", "order-c"]
        .map(|name| {
            let listen = format!("127.0.0.1:{}", free_port());
            fleet.launch(name, vec![("TRACKOPS_LINK_LISTEN", listen)])
        })
        .into();
    let balancer = fleet.balancer(&newcomers).await;
    let address = balancer.address.to_string();
    let url = format!("http://{address}");
    let watched = Watched::start(vec![address], &url, Policy::Strict).await;
    for launch in newcomers {
        fleet.start_launch(launch).await;
        fleet.balanced(fleet.len()).await;
        watched.clients.more(20).await;
    }
    for number in [2, 1] {
        stop(&mut fleet, number).await;
        fleet.balanced(number).await;
        watched.clients.more(20).await;
    }
    watched.finish(&mut fleet).await;
}
