//! `kill -9` of a replica under load.

use std::time::Duration;

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};

/// A lease, a claim, and what a machine that does other things beside adds.
const ANSWER_MAX: Duration = Duration::from_secs(8);

#[tokio::test]
async fn orders_of_a_killed_replica_answer_again_and_nothing_is_lost() {
    let mut fleet = Fleet::start(3, Plan::default()).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    watched.clients.more(40).await;
    let before = watched.clients.waits();
    fleet.replica(2).kill();
    fleet.balanced(2).await;
    watched.clients.more(60).await;
    let during = watched.clients.waits();
    let longest = during.longest();
    eprintln!("waits of commands: before {before}; over the kill {during}");
    assert!(longest < ANSWER_MAX, "a command waited {longest:?}");

    fleet.replica(2).restart(None).await;
    fleet.balanced(3).await;
    watched.clients.more(40).await;
    watched.finish(&mut fleet).await;
}
