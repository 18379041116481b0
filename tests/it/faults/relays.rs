//! Two relays under load that stop, sleep through their leases, die and come back, and a Kafka that is away
//! meanwhile: read back from Kafka, every event is there and first occurrences are in order.

use std::sync::Arc;
use std::time::Duration;

use xtask::servers::KafkaLaunch;

use crate::support::acknowledged::Acknowledged;
use crate::support::check::assert_invariants;
use crate::support::deployment::{Deployment, Options};
use crate::support::load::Load;
use crate::support::own_servers::Own;
use crate::support::recorder::Recorder;
use crate::support::role::Role;

/// Longer than a lane's lease.
const SLEEP: Duration = Duration::from_secs(7);

#[tokio::test]
async fn two_relays_may_sleep_and_die_in_turn() {
    let mut deployment = Deployment::start(Options::default()).await;
    let told = Arc::new(Acknowledged::default());
    let recorder = Arc::new(Recorder::start(
        &deployment.client.to.order,
        Arc::clone(&told),
    ));
    let load = Load::start(&deployment.client, &told, &recorder);
    let mut second = Role::start(deployment.launch_another("relay", "relay-b")).await;
    load.more(30).await;
    // One sleeps in the middle of its work; the other takes its lanes; it wakes up and goes on.
    deployment.relay.stand_still().await;
    // How long it sleeps is what is tested.
    tokio::time::sleep(SLEEP).await;
    load.more(20).await;
    deployment.relay.signal("CONT");
    load.more(30).await;
    second.kill();
    load.more(20).await;
    second.restart(None).await;
    load.more(20).await;
    deployment.relay.kill();
    load.more(20).await;
    deployment.relay.restart(None).await;
    load.more(20).await;
    load.finish().await;
    second.kill();
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}

#[tokio::test]
async fn kafka_goes_away_under_load_and_comes_back() {
    let mut kafka = Own::<KafkaLaunch>::start().await;
    let deployment = Deployment::start(Options {
        kafka: Some(kafka.url()),
        ..Options::default()
    })
    .await;
    let told = Arc::new(Acknowledged::default());
    let recorder = Arc::new(Recorder::start(
        &deployment.client.to.order,
        Arc::clone(&told),
    ));
    let load = Load::start(&deployment.client, &told, &recorder);
    load.more(40).await;
    for _ in 0..2 {
        kafka.kill().await;
        // What needs no message goes on, and piles up.
        tokio::time::sleep(Duration::from_secs(3)).await;
        kafka.restart().await;
        load.more(40).await;
    }
    load.finish().await;
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}
