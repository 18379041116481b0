//! Reservation deadlines that pass while inventory, or the relay of its replies, is away: on real servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use trackops::inventory::REPLIED_GROUP;
use trackops::kafka::{KafkaBus, KafkaSettings};
use trackops::ports::groups::Groups as _;
use uuid::Uuid;

use crate::support::bodies::order;
use crate::support::check::bus::read_back;
use crate::support::deployment::{Deployment, Options};
use crate::support::wait::until;

/// How many orders are placed in vain.
const ORDERS: usize = 20;

/// The deadline is so short that dozens of them fit into the outage.
async fn start() -> Deployment {
    Deployment::start(Options {
        order_environment: vec![("TRACKOPS_RESERVATION_TIMEOUT_MS", "500".into())],
        ..Options::default()
    })
    .await
}

async fn place_all(deployment: &Deployment) -> Vec<Uuid> {
    let mut placed = Vec::new();
    for _ in 0..ORDERS {
        let answer = deployment.client.place(&order(), None).await;
        placed.push(answer.expect(201).id());
    }
    placed
}

/// Waits until every deadline has been moved on again and again.
async fn long_after_the_deadline(deployment: &Deployment) {
    let url = &deployment.orders_url;
    until("the deadlines are moved on", || async {
        let mut database = PgConnection::connect(url).await.ok()?;
        let waiting: (i64, bool) = sqlx::query_as(
            "SELECT count(*), coalesce(bool_and(deadline_at > created_at + interval '20 s'), false)
             FROM orders WHERE status = 'PENDING'",
        )
        .fetch_one(&mut database)
        .await
        .ok()?;
        let expected = i64::try_from(ORDERS).expect("few");
        assert_eq!(waiting.0, expected, "none of them is cancelled");
        waiting.1.then_some(())
    })
    .await;
}

/// Waits until inventory has shown that it sets marks. No request has been read yet.
async fn has_first_marks(deployment: &Deployment) {
    let bus = KafkaBus::new(KafkaSettings {
        prefix: deployment.kafka_prefix.clone(),
        ..KafkaSettings::new(&deployment.kafka)
    });
    let bus = bus.expect("settings of a running deployment");
    let topic = Arc::<str>::from("ORDER_CREATED");
    until("inventory has set its first marks", || async {
        let topics = [Arc::clone(&topic)];
        let marks = bus.progress(REPLIED_GROUP, &topics).await.ok()?;
        let marks = marks.get(&topic)?;
        marks
            .iter()
            .all(|mark| mark.committed.is_some())
            .then_some(())
    })
    .await;
}

/// All are confirmed, and each was asked for once.
async fn all_confirmed(deployment: &Deployment, placed: &[Uuid]) {
    for id in placed {
        deployment.client.reaches(*id, "CONFIRMED").await;
    }
    let (kafka, prefix) = (deployment.kafka.clone(), deployment.kafka_prefix.clone());
    let reading = tokio::task::spawn_blocking(move || read_back(&kafka, &prefix));
    let mut asked = BTreeMap::<Uuid, usize>::new();
    for message in reading.await.expect("Kafka can be read") {
        if message.topic == "ORDER_CREATED" {
            *asked.entry(message.order).or_default() += 1;
        }
    }
    let asked: Vec<_> = placed.iter().map(|id| asked.get(id).copied()).collect();
    assert_eq!(asked, vec![Some(1); ORDERS], "requests for stock");
}

#[tokio::test]
async fn no_order_is_cancelled_while_inventory_is_away() {
    let mut deployment = start().await;
    deployment.inventory.kill();
    let placed = place_all(&deployment).await;
    long_after_the_deadline(&deployment).await;
    deployment.inventory.restart(None).await;
    all_confirmed(&deployment, &placed).await;
}

#[tokio::test]
async fn no_order_is_cancelled_while_its_reply_waits_in_inventorys_outbox() {
    let mut deployment = start().await;
    has_first_marks(&deployment).await;
    deployment.relay.kill();
    let mut inventory = PgConnection::connect(&deployment.inventory_url)
        .await
        .expect("the database answers");
    // Another relay has every lane, and does nothing.
    sqlx::raw_sql(
        "INSERT INTO outbox_holders VALUES ('idle', 'infinity');
         UPDATE outbox_leases SET holder = 'idle', until = 'infinity';",
    )
    .execute(&mut inventory)
    .await
    .expect("leased");
    deployment.relay.restart(None).await;
    let placed = place_all(&deployment).await;
    long_after_the_deadline(&deployment).await;
    sqlx::raw_sql("DELETE FROM outbox_holders WHERE holder = 'idle'; UPDATE outbox_leases SET holder = NULL, until = '-infinity';")
        .execute(&mut inventory)
        .await
        .expect("given back");
    all_confirmed(&deployment, &placed).await;
}
