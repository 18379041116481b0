//! Links between replicas that are cut, or become black holes, one way and both.

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::wait::until;

/// Waits until the first two replicas, by their process ids, have dialled each other.
async fn linked(fleet: &Fleet, first: u32, second: u32) {
    until("the first two are linked both ways", || async {
        let are_linked = fleet.wires[1].connected().contains(&first)
            && fleet.wires[0].connected().contains(&second);
        are_linked.then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_links_no_two_own_and_every_side_answers() {
    let plan = Plan {
        wired: true,
        ..Plan::default()
    };
    let mut fleet = Fleet::start(3, plan).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let pids = [0, 1, 2].map(|number| fleet.replica(number).pid());
    let [first, second, third] = pids;
    linked(&fleet, first, second).await;
    let client = fleet.deployment.client.clone();
    let elsewhere = client.of_order(&fleet.url(1));
    let id = elsewhere.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;

    // One way: the first can't reach the second. By the third it can.
    fleet.wires[1].cut_off(first);
    client.advance(id, "PREPARING", &[]).await.expect(200);
    watched.clients.more(30).await;
    // Both ways.
    fleet.wires[0].cut_off(second);
    client.advance(id, "IN_TRANSIT", &[]).await.expect(200);
    watched.clients.more(30).await;
    assert!(!fleet.wires[1].connected().contains(&first));
    assert!(!fleet.wires[0].connected().contains(&second));
    // The second is alone: it has PostgreSQL, so it keeps its shards and answers for them.
    fleet.wires[1].cut();
    fleet.wires[0].cut_off(second);
    fleet.wires[2].cut_off(second);
    elsewhere.advance(id, "DELIVERED", &[]).await.expect(200);
    // Some of their requests take a client's whole patience before they go to the second itself.
    watched.clients.more(6).await;
    assert_eq!(fleet.owners(1).await.map(|owners| owners.len()), Some(3));

    for wire in &fleet.wires {
        wire.mend();
    }
    until("the links are back", || async {
        let connected = fleet.wires[1].connected();
        (connected.contains(&first) && connected.contains(&third)).then_some(())
    })
    .await;
    watched.clients.more(30).await;
    watched.finish(&mut fleet).await;
}

#[tokio::test]
async fn links_that_swallow_everything_are_given_up_and_no_two_own() {
    let plan = Plan {
        wired: true,
        ..Plan::default()
    };
    let mut fleet = Fleet::start(3, plan).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    let [first, second] = [0, 1].map(|number| fleet.replica(number).pid());
    linked(&fleet, first, second).await;
    let client = fleet.deployment.client.clone();
    let elsewhere = client.of_order(&fleet.url(1));
    let id = elsewhere.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;

    // One way: what the first sends to the second disappears, and nobody tells it so.
    fleet.wires[1].stall(first);
    client.advance(id, "PREPARING", &[]).await.expect(200);
    watched.clients.more(30).await;
    // Both ways.
    fleet.wires[0].stall(second);
    client.advance(id, "IN_TRANSIT", &[]).await.expect(200);
    watched.clients.more(30).await;
    // Every one has PostgreSQL, so nobody's shards are taken.
    assert_eq!(fleet.owners(1).await.map(|owners| owners.len()), Some(3));

    for wire in &fleet.wires {
        wire.mend();
    }
    linked(&fleet, first, second).await;
    client.advance(id, "DELIVERED", &[]).await.expect(200);
    watched.clients.more(30).await;
    watched.finish(&mut fleet).await;
}
