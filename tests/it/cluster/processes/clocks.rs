//! Replicas whose clocks are wrong by an hour, one each way: nothing changes.

use std::ops::Range;

use trackops::codec::view::OrderView;
use trackops::ports::clock::{Clock as _, SystemClock};
use uuid::Uuid;

use super::Watched;
use super::clients::Policy;
use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::client::Client;
use crate::support::deployment::Options;

/// Long enough for a takeover and a start to happen within it.
const DEADLINE_MS: i64 = 8_000;
/// A scanner looks once a second; the rest is for a machine that compiles beside the tests.
const LATE_MS: i64 = 15_000;

fn plan(environment: &[(&'static str, String)]) -> Plan {
    let shift = |number, ms: &str| (number, "TRACKOPS_FAULT", format!("clock-shift={ms}"));
    Plan {
        options: Options {
            environment: environment.to_vec(),
            ..Options::default()
        },
        only: vec![shift(1, "3600000"), shift(2, "-3600000")],
        ..Plan::default()
    }
}

async fn view(client: &Client, id: Uuid) -> OrderView {
    serde_json::from_value(client.show(id).await.expect(200).body).expect("a view")
}

#[tokio::test]
async fn deadlines_fire_in_time_whoever_wrote_them() {
    let mut fleet = Fleet::start(
        3,
        plan(&[
            ("TRACKOPS_RESERVATION_TIMEOUT_MS", DEADLINE_MS.to_string()),
            // Inventory is away, which moves a deadline on up to this.
            ("TRACKOPS_RESERVATION_WAIT_MAX_MS", DEADLINE_MS.to_string()),
            ("TRACKOPS_RESERVATION_ASK_AGAIN_MAX", "0".into()),
        ]),
    )
    .await;
    fleet.deployment.inventory.kill();
    let client = fleet.deployment.client.clone();
    let began = SystemClock.now().0;
    let mut placed = Vec::new();
    for number in 0..3 {
        let to = client.of_order(&fleet.url(number));
        for _ in 0..4 {
            let id = to.place(&order(), None).await.expect(201).id();
            assert_eq!(fleet.owner_of(0, id).await, number);
            placed.push(id);
        }
    }
    let placed_by = SystemClock.now().0;
    // What the fast one wrote is judged by the others, and what they wrote by it.
    fleet.replica(1).kill();
    fleet.balanced(2).await;
    fleet.replica(1).restart(None).await;
    fleet.balanced(3).await;
    let waits: Range<i64> = DEADLINE_MS..DEADLINE_MS + LATE_MS;
    for id in &placed {
        client.reaches(*id, "CANCELLED").await;
        let view = view(&client, *id).await;
        let (created, cancelled) = (view.created_at.0, view.updated_at.0);
        // A second for what a question and its answer took.
        assert!(
            (began - 1_000..placed_by + 1_000).contains(&created),
            "{view:?}"
        );
        assert!(waits.contains(&(cancelled - created)), "{view:?}");
        assert!(cancelled < SystemClock.now().0 + 1_000, "{view:?}");
    }
}

#[tokio::test]
async fn under_load_nothing_is_cancelled_when_a_replica_is_killed() {
    let mut fleet = Fleet::start(3, plan(&[])).await;
    let watched = Watched::start(fleet.addresses(), &fleet.url(0), Policy::Insist).await;
    for number in [1, 2] {
        fleet.replica(number).kill();
        fleet.balanced(2).await;
        watched.clients.more(40).await;
        fleet.replica(number).restart(None).await;
        fleet.balanced(3).await;
        watched.clients.more(40).await;
    }
    let client = fleet.deployment.client.clone();
    let cancelled = client
        .get("/api/v1/orders?status=CANCELLED")
        .await
        .expect(200);
    let items = cancelled.body["items"].as_array().expect("items");
    assert!(items.is_empty(), "clients cancel nothing: {items:?}");
    watched.finish(&mut fleet).await;
}
