//! A subscriber of one replica follows an order whose owners come and go elsewhere.

use serde_json::json;

use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::client::Client;
use crate::support::stream::EventStream;
use crate::support::wait::{LONG, until};
use reqwest::Method;
use uuid::Uuid;

/// Takes a step by any replica that answers.
pub async fn step(client: &Client, id: Uuid, to: &str) {
    until(&format!("{id} goes on to {to}"), || async {
        let path = format!("{}/api/v1/orders/{id}/status", client.to.order);
        let (key, body) = ([("idempotency-key", to)], json!({"status": to}));
        let sent = client.send(Method::PUT, &path, &key, Some(&body)).await;
        let answer = sent.ok().filter(|answer| answer.status != 503)?;
        answer.expect(200);
        Some(())
    })
    .await;
}

/// The next version on an open stream, which is the one after `last`.
pub async fn hears(stream: &mut EventStream, last: &mut u64, status: &str) {
    let heard = async {
        loop {
            let event = stream.next().await.expect("the stream stays open");
            assert_eq!(event.kind, "update", "{event:?}");
            let version = event.data["version"].as_u64().expect("a version");
            assert_eq!(version, *last + 1, "{event:?}");
            *last = version;
            if event.data["status"] == status {
                return;
            }
        }
    };
    // The stream is kept alive by comments, so it doesn't end by itself.
    let heard = tokio::time::timeout(LONG, heard).await;
    heard.unwrap_or_else(|_| panic!("{status} is not heard within {LONG:?}"));
}

#[tokio::test]
async fn a_subscriber_hears_every_version_across_a_move_and_a_kill() {
    let mut fleet = Fleet::start(3, Plan::default()).await;
    let client = fleet.deployment.client.clone();
    let elsewhere = client.of_order(&fleet.url(1));
    let id = elsewhere.place(&order(), None).await.expect(201).id();
    assert_eq!(fleet.owner_of(0, id).await, 1);
    let url = format!("{}/api/v1/orders/{id}/events", fleet.url(0));
    let mut stream = EventStream::open(&url, Some("0")).await;
    assert_eq!(stream.status, 200);
    let mut last = 0;
    hears(&mut stream, &mut last, "CONFIRMED").await;

    // An operator drains the owner: its shards move, and nobody is cut off.
    let drain = format!(
        "{}/admin/v1/cluster/nodes/order-b/drain",
        client.to.order_management
    );
    let drained = client.send(Method::POST, &drain, &[], None).await;
    drained.expect("an answer").expect(200);
    until("the drained replica owns nothing", || async {
        let owners = fleet.owners(0).await?;
        (!owners.contains_key("order-b")).then_some(())
    })
    .await;
    step(&client, id, "PREPARING").await;
    hears(&mut stream, &mut last, "PREPARING").await;

    // The replica that the subscriber is connected to must stay; the order may be its own by now.
    let owner = fleet.owner_of(0, id).await;
    if owner != 0 {
        fleet.replica(owner).kill();
        fleet.replica(owner).restart(None).await;
    }
    step(&client, id, "IN_TRANSIT").await;
    hears(&mut stream, &mut last, "IN_TRANSIT").await;
    // Started again, a drained replica takes its share.
    fleet.replica(1).kill();
    fleet.replica(1).restart(None).await;
    fleet.balanced(3).await;
    step(&client, id, "DELIVERED").await;
    hears(&mut stream, &mut last, "DELIVERED").await;
    assert_eq!(last, 5);
}

#[tokio::test]
async fn a_subscriber_hears_every_version_when_the_owner_is_killed() {
    let mut fleet = Fleet::start(3, Plan::default()).await;
    let client = fleet.deployment.client.clone();
    let elsewhere = client.of_order(&fleet.url(2));
    let mut followed = Vec::new();
    for _ in 0..8 {
        let id = elsewhere.place(&order(), None).await.expect(201).id();
        let url = format!("{}/api/v1/orders/{id}/events", fleet.url(0));
        let stream = EventStream::open(&url, Some("0")).await;
        followed.push((id, stream, 0));
    }
    for (id, stream, last) in &mut followed {
        hears(stream, last, "CONFIRMED").await;
        assert_eq!(fleet.owner_of(0, *id).await, 2);
    }
    for (id, ..) in &followed {
        step(&client, *id, "PREPARING").await;
    }
    // What it has committed, it may not have sent.
    fleet.replica(2).kill();
    for (id, ..) in &followed {
        step(&client, *id, "IN_TRANSIT").await;
    }
    for (_, stream, last) in &mut followed {
        hears(stream, last, "PREPARING").await;
        hears(stream, last, "IN_TRANSIT").await;
    }
}
