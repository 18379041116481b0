//! A panic in one order: it restarts, is quarantined when that goes on, and its neighbours notice
//! nothing; an operator releases it.

use reqwest::Method;
use trackops_domain::access::Caller;
use uuid::Uuid;

use crate::support::bodies::order;
use crate::support::client::{Answer, Client};
use crate::support::deployment::{Deployment, Options};
use crate::support::dev::DevProcess;
use crate::support::wait::until;

/// Failures in a minute after which an order is quarantined.
const FAILURES_MAX: u32 = 5;

async fn actor(client: &Client, id: Uuid) -> Answer {
    let url = format!("{}/admin/v1/actors/{id}", client.to.order_management);
    client.fetch(&url).await.expect(200)
}

/// Places the order with `key`, whose commands panic the first five times, and one beside it.
async fn is_quarantined_and_released(client: &Client, key: &str) {
    let id = client.place(&order(), Some(key)).await.expect(201).id();
    let neighbour = client.place(&order(), None).await.expect(201).id();
    client.reaches(neighbour, "CONFIRMED").await;
    // The saga's own message panics it, too, and is retried: the clients' commands come on top.
    let refused = until("the order is quarantined", || async {
        let answer = client.cancel(id, "try").await;
        assert_eq!(answer.status, 503, "a panic is an answer: {answer:#?}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:#?}");
        (answer.text("code") == "order-quarantined").then_some(answer)
    })
    .await;
    assert_eq!(refused.status, 503);
    let report = actor(client, id).await;
    assert_eq!(report.text("state"), "quarantined");
    assert_eq!(report.body["restarts"], FAILURES_MAX);
    let error = report.body["lastError"]["message"].as_str().unwrap_or("");
    assert!(error.contains("fault point"), "{report:#?}");

    until("the scanner has counted the stuck", || async {
        let metrics = client.metrics(&client.to.order_management).await?;
        metrics.contains("trackops_saga_stuck 0").then_some(())
    })
    .await;

    let step = client
        .advance(neighbour, "PREPARING", &[])
        .await
        .expect(200);
    assert_eq!(step.version(), 3);
    assert_eq!(actor(client, neighbour).await.body["restarts"], 0);

    let release = format!(
        "{}/admin/v1/actors/{id}/release",
        client.to.order_management
    );
    let released = client.send(Method::POST, &release, &[], None).await;
    let released = released.expect("an answer").expect(200);
    assert_eq!(released.body["released"], true);
    until("the order works again", || async {
        let answer = client.cancel(id, "at last").await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_ne!(actor(client, id).await.text("state"), "quarantined");
}

/// The fault for the order that `key` names: it goes away after the quarantine.
fn panics(key: &str) -> String {
    let id = trackops::model::order_request::keyed_order_id(&Caller::anonymous(), key);
    format!("panic-in-handler={id}*{FAILURES_MAX}")
}

#[tokio::test]
async fn an_order_that_panics_is_quarantined_and_released() {
    let key = Uuid::new_v4().to_string();
    let deployment = Deployment::start(Options {
        order_fault: Some(panics(&key)),
        ..Options::default()
    })
    .await;
    is_quarantined_and_released(&deployment.client, &key).await;
}

#[tokio::test]
async fn an_order_that_panics_in_dev_is_quarantined_and_released() {
    let key = Uuid::new_v4().to_string();
    let dev = DevProcess::start(Some(&panics(&key))).await;
    is_quarantined_and_released(&dev.client, &key).await;
}
