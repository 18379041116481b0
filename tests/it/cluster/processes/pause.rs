//! A replica that stands still for longer than its lease, its session with Kafka, and what its peers wait
//! for a sign of it.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use super::http::{Ask, Http};
use crate::support::bodies::order;
use crate::support::wait::until;

/// Longer than Kafka waits for a consumer (6 s) and a link for a ping (2.5 s), and than a connection may be
/// idle (30 s).
const PAUSE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_paused_replica_writes_nothing_answers_nothing_old_and_rejoins() {
    let mut fleet = Fleet::start(3, Plan::default()).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let client = fleet.deployment.client.clone();
    // Orders of the one that will stand still, all in its memory.
    let other = client.of_order(&fleet.url(1));
    let mut its = Vec::new();
    for _ in 0..6 {
        // Without a key an order falls to the replica that is asked.
        let id = other.place(&order(), None).await.expect(201).id();
        its.push(other.reaches(id, "CONFIRMED").await.id());
        assert_eq!(fleet.owner_of(0, id).await, 1);
    }

    fleet.replica(1).stand_still().await;
    let paused = Instant::now();
    // Its kernel takes requests; they are the first thing that it finds when it wakes.
    let (path, step) = (
        |id| format!("/api/v1/orders/{id}/status"),
        |to: &str| json!({"status": to}),
    );
    let (first, second) = (its[0], its[1]);
    let mut asleep = Http::new(&fleet.address(1));
    let late = tokio::spawn(async move {
        let (path, body) = (path(first), step("PREPARING"));
        let ask = Ask {
            method: "PUT",
            path: &path,
            key: Some("late"),
            body: Some(&body),
            ..Ask::default()
        };
        asleep.send(ask).await
    });
    let mut asleep = Http::new(&fleet.address(1));
    let old = tokio::spawn(async move {
        let path = format!("/api/v1/orders/{second}");
        asleep.send(Ask::get(&path)).await
    });
    fleet.balanced(2).await;
    for id in &its {
        client.advance(*id, "PREPARING", &[]).await.expect(200);
    }
    while paused.elapsed() < PAUSE {
        watched.clients.more(5).await;
    }

    fleet.replica(1).signal("CONT");
    if let Ok(answer) = late.await.expect("it was sent") {
        // Taken on to the new owner, it is the step to the status that the order has.
        let is_sound = answer.status == 503 || answer.body["version"] == 3;
        assert!(is_sound, "{answer:?}");
    }
    if let Ok(answer) = old.await.expect("it was sent") {
        let is_sound = answer.status == 503 || answer.body["version"] == 3;
        assert!(is_sound, "what it knew before: {answer:?}");
    }
    let address = fleet.address(1);
    until("the replica answers again, and nothing old before", || {
        all_new(Http::new(&address), &its)
    })
    .await;
    fleet.balanced(3).await;
    for id in &its {
        client.advance(*id, "IN_TRANSIT", &[]).await.expect(200);
    }
    watched.clients.more(30).await;
    watched.finish(&mut fleet).await;
}

/// Reads all of `orders`; `None` unless all are answered. None may be older than its third version.
async fn all_new(mut http: Http, orders: &[Uuid]) -> Option<()> {
    let mut answered = Some(());
    for id in orders {
        let path = format!("/api/v1/orders/{id}");
        match http.send(Ask::get(&path)).await {
            Ok(answer) if answer.status == 200 => assert_eq!(answer.body["version"], 3, "{id}"),
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                answered = None;
            }
            Err(_) => answered = None,
        }
    }
    answered
}
