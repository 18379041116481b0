//! A second replica started by mistake, a node id taken twice, and a replica that was away longer
//! than its lease.

use std::time::Duration;

use crate::support::bodies::order;
use crate::support::deployment::{Deployment, Options, public};
use crate::support::role::Role;
use crate::support::wait::{LONG, until};

#[tokio::test]
async fn a_second_replica_waits_and_takes_over_from_one_that_is_away() {
    let mut deployment = Deployment::start(Options::default()).await;
    let client = deployment.client.clone();
    let id = client.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;

    let launch = deployment.launch_another("order", "order-b");
    let other = client.of_order(&public(&launch));
    let management = launch.management.clone();
    let mut second = Role::spawn(launch);
    second.says("another replica owns shards").await;
    let ready = client
        .fetch(&format!("{management}/readyz"))
        .await
        .expect(503);
    assert!(ready.text("detail").contains("shards"), "{ready:#?}");
    let refused = other.place(&order(), None).await.expect(503);
    assert!(!refused.header("retry-after").is_empty(), "{refused:#?}");

    deployment.order.stand_still().await;
    second.ready().await;
    let taken = other.advance(id, "PREPARING", &[]).await.expect(200);
    assert_eq!(
        taken.version(),
        3,
        "it knows everything that the first one committed"
    );

    deployment.order.signal("CONT");
    // Nothing old, from the first moment on: a refusal, or no answer from a process that has ended.
    let mut answered = 0;
    let status = loop {
        let path = format!("{}/api/v1/orders/{id}", client.to.order);
        let read = client.send(reqwest::Method::GET, &path, &[], None).await;
        if let Ok(answer) = read {
            assert_eq!(answer.status, 503, "{answer:#?}");
            answered += 1;
        }
        if let Some(status) = deployment.order.exit(Duration::ZERO).await {
            break status;
        }
        assert!(answered < 100_000, "a deposed replica doesn't end");
    };
    assert!(
        !status.success(),
        "a deposed replica says so to its supervisor"
    );
    assert!(
        deployment
            .order
            .log()
            .contains("another replica owns its shards now")
    );
    other.advance(id, "IN_TRANSIT", &[]).await.expect(200);

    // Started again it is the second one's turn to own, and it waits.
    deployment.order.respawn(None);
    deployment.order.says("another replica owns shards").await;
    second.signal("TERM");
    assert!(second.exit(LONG).await.expect("it stops").success());
    deployment.order.ready().await;
    client.advance(id, "DELIVERED", &[]).await.expect(200);
}

#[tokio::test]
async fn a_node_id_in_use_is_refused_and_one_left_over_is_taken() {
    let mut deployment = Deployment::start(Options::default()).await;
    let mut launch = deployment.launch_another("order", "order-twin");
    launch
        .environment
        .push(("TRACKOPS_NODE_ID".into(), "order".into()));
    let mut twin = Role::spawn(launch);
    let status = twin.exit(LONG).await.expect("it refuses to start");
    assert!(!status.success());
    let log = twin.log();
    assert!(log.contains("node id order is in use"), "{log}");
    let id = deployment
        .client
        .place(&order(), None)
        .await
        .expect(201)
        .id();
    deployment.client.reaches(id, "CONFIRMED").await;

    // The lease of a process that was killed is waited for.
    deployment.order.kill();
    deployment.order.restart(None).await;
    until("the order is there", || async {
        let answer = deployment.client.advance(id, "PREPARING", &[]).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_counts_other_shards_refuses_to_start() {
    let deployment = Deployment::start(Options::default()).await;
    let mut launch = deployment.launch_another("order", "order-b");
    let shards = ("TRACKOPS_SHARDS".into(), "32".into());
    launch.environment.push(shards);
    let mut newcomer = Role::spawn(launch);
    let status = newcomer.exit(LONG).await.expect("it refuses to start");
    assert!(!status.success());
    let log = newcomer.log();
    assert!(log.contains("has 16 shards, not the 32"), "{log}");
    // The one that runs goes on.
    let placed = deployment.client.place(&order(), None).await;
    placed.expect(201);
}

#[tokio::test]
async fn between_two_incarnations_nobody_is_refused() {
    let deployment = Deployment::start(Options::default()).await;
    let client = &deployment.client;
    let id = client.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;
    let address = client.to.order.trim_start_matches("http://").to_owned();
    // Connects all the time, each time anew: a port that is closed for a moment refuses one of them.
    let stop = tokio_util::sync::CancellationToken::new();
    let stopped = stop.clone();
    let knocking = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            tokio::net::TcpStream::connect(&address).await?;
            // As often as a client would find a gap, and not so often that ports run out.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok::<_, std::io::Error>(())
    });

    deployment.order.stand_still().await;
    // The lease has to run out by the database's clock: twice its time.
    tokio::time::sleep(Duration::from_secs(3)).await;
    deployment.order.signal("CONT");
    deployment
        .order
        .says("coming back as a new incarnation")
        .await;
    until("the new incarnation answers", || async {
        let path = format!("{}/api/v1/orders/{id}", client.to.order);
        let answer = client.send(reqwest::Method::GET, &path, &[], None).await;
        let answer = answer.expect("an answer, whatever it says");
        assert!([200, 503].contains(&answer.status), "{answer:#?}");
        (answer.status == 200).then_some(())
    })
    .await;
    stop.cancel();
    knocking.await.expect("no panic").expect("never refused");
}
