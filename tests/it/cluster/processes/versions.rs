//! A replica of a newer minor version beside older ones, as while a deployment is upgraded.

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use super::rolling::stop;

/// The one that speaks as the next version might.
const NEWER: usize = 1;

#[tokio::test]
async fn a_newer_replica_and_older_ones_work_together() {
    let mut plan = Plan::usual_lease();
    plan.only = vec![(NEWER, "TRACKOPS_FAULT", "speak-newer".into())];
    let mut fleet = Fleet::start(3, plan).await;
    let newer = fleet.replica(NEWER);
    newer.says("speaking as a newer version").await;
    let balancer = fleet.balancer(&[]).await;
    let address = balancer.address.to_string();
    let url = format!("http://{address}");
    let watched = Watched::start(vec![address], &url, Policy::Strict).await;
    watched.clients.more(150).await;
    // It dials the older ones, and they dial it, on what all of them speak.
    let newer = fleet.replica(NEWER);
    newer.says("link is up peer=order version=1").await;
    let older = fleet.replica(0);
    older.says("link is up peer=order-b version=1").await;
    // Shards, commands and live subscriptions go from older ones to the newer one, and back.
    for number in [0, NEWER] {
        stop(&mut fleet, number).await;
        watched.clients.more(40).await;
        fleet.replica(number).restart(None).await;
        fleet.balanced(3).await;
        watched.clients.more(40).await;
    }
    for number in 0..fleet.len() {
        let log = fleet.replica(number).log();
        for fault in [
            "unreadable",
            "unknown kind",
            "unknown version",
            "impossible",
        ] {
            assert!(
                !log.contains(fault),
                "{} logs {fault:?}",
                fleet.node(number)
            );
        }
    }
    watched.finish(&mut fleet).await;
}
