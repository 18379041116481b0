//! PostgreSQL cut off from one replica alone, whose links stay up.

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use super::live::{hears, step};
use crate::support::bodies::order;
use crate::support::stream::EventStream;
use crate::support::wait::until;

#[tokio::test]
async fn one_without_postgres_answers_by_the_others_and_its_listeners_hear_on() {
    let plan = Plan {
        postgres_wired: Some(1),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(3, plan).await;
    let wire = fleet.postgres_wire.take().expect("planned");
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let client = fleet.deployment.client.clone();
    let cut_off = client.of_order(&fleet.url(1));
    let mut followed = Vec::new();
    for _ in 0..6 {
        let id = cut_off.place(&order(), None).await.expect(201).id();
        let url = format!("{}/api/v1/orders/{id}/events", fleet.url(1));
        followed.push((id, EventStream::open(&url, Some("0")).await, 0));
    }
    for (id, stream, last) in &mut followed {
        hears(stream, last, "CONFIRMED").await;
        assert_eq!(fleet.owner_of(0, *id).await, 1);
    }

    wire.cut();
    fleet.balanced(2).await;
    for (id, stream, last) in &mut followed {
        step(&client, *id, "PREPARING").await;
        hears(stream, last, "PREPARING").await;
    }
    // Nothing old is read there, and soon what is new.
    for (id, ..) in &followed {
        until("it is read by way of its owner", || async {
            let path = format!("{}/api/v1/orders/{id}", fleet.url(1));
            let sent = client.send(reqwest::Method::GET, &path, &[], None).await;
            let answer = sent.expect("it answers");
            if answer.status == 503 {
                return None;
            }
            assert_eq!(answer.expect(200).version(), 3);
            Some(())
        })
        .await;
    }
    for (id, stream, last) in &mut followed {
        step(&cut_off, *id, "IN_TRANSIT").await;
        hears(stream, last, "IN_TRANSIT").await;
    }
    cut_off.place(&order(), None).await.expect(201);
    watched.clients.more(40).await;

    wire.mend();
    fleet.balanced(3).await;
    watched.clients.more(30).await;
    for (id, ..) in &followed {
        step(&cut_off, *id, "DELIVERED").await;
    }
    watched.finish(&mut fleet).await;
}
