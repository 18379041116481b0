//! Checks that can fail: each defect that a fault point makes is found by the checker.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::order;
use crate::support::check::{Scope, Violation, assert_red, check_invariants};
use crate::support::client::Client;
use crate::support::databases::{connect, number};
use crate::support::deployment::{Deployment, Options, public};
use crate::support::role::Role;
use crate::support::wait::until;

async fn run(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// What the checker finds, without waiting for what a defect may have made impossible.
async fn found_soon(deployment: &Deployment, told: &Acknowledged) -> Vec<Violation> {
    let scope = Scope {
        settle_max: Duration::from_secs(3),
        running: false,
    };
    check_invariants(deployment, told, None, scope).await
}

/// Sends a step to a replica that may not answer for long.
fn step(client: &Client, id: Uuid, status: &'static str) -> tokio::task::JoinHandle<Option<u16>> {
    let client = client.clone();
    tokio::spawn(async move {
        let url = format!("{}/api/v1/orders/{id}/status", client.to.order);
        let body = serde_json::json!({"status": status});
        let sent = client
            .send(reqwest::Method::PUT, &url, &[], Some(&body))
            .await;
        sent.ok().map(|answer| answer.status)
    })
}

/// A replica that sleeps through its lease, wakes up, and writes before it can learn that another
/// has taken over: the moment that only the fence guards.
struct Usurped {
    deployment: Deployment,
    second: Role,
    /// Talks to the second replica.
    other: Client,
    order: Uuid,
}

impl Usurped {
    async fn with(fault: &str) -> Self {
        let deployment = Deployment::start(Options {
            order_fault: Some(fault.into()),
            ..Options::default()
        })
        .await;
        let client = &deployment.client;
        let id = client.place(&order(), None).await.expect(201).id();
        client.reaches(id, "CONFIRMED").await;
        deployment.order.stand_still().await;
        let launch = deployment.launch_another("order", "order-b");
        let other = client.of_order(&public(&launch));
        let second = Role::start(launch).await;
        Self {
            deployment,
            second,
            other,
            order: id,
        }
    }

    /// The first replica wakes with a command; gives the status that it answers. Renewals are held up
    /// meanwhile, so that it doesn't learn of its end before.
    async fn first_writes(&self, status: &'static str) -> Option<u16> {
        let hanging = step(&self.deployment.client, self.order, status);
        let mut renewals = connect(&self.deployment.orders_url).await;
        run(&mut renewals, "BEGIN; LOCK TABLE nodes").await;
        self.deployment.order.signal("CONT");
        let answered = hanging.await.expect("the client doesn't panic");
        run(&mut renewals, "ROLLBACK").await;
        answered
    }
}

#[tokio::test]
async fn the_fence_keeps_a_deposed_replica_out() {
    let mut usurped = Usurped::with("").await;
    assert_eq!(usurped.first_writes("PREPARING").await, Some(503));
    usurped
        .other
        .cancel(usurped.order, "by the owner")
        .await
        .expect(200);
    usurped.deployment.order.kill();
    usurped.second.kill();
    let found = found_soon(&usurped.deployment, &Acknowledged::default()).await;
    let fenced = |violation: &&Violation| {
        matches!(
            violation.invariant,
            Invariant::Fenced | Invariant::OneWriter | Invariant::Legal
        )
    };
    assert_eq!(found.iter().find(fenced), None);
}

#[tokio::test]
async fn without_the_fence_i2_goes_red() {
    let mut usurped = Usurped::with("skip-fence").await;
    usurped.first_writes("PREPARING").await;
    usurped.deployment.order.kill();
    usurped.second.kill();
    let found = found_soon(&usurped.deployment, &Acknowledged::default()).await;
    assert_red(&found, Invariant::Fenced);
}

/// Without fence and version check, what the second replica decided is decided again by the first.
#[tokio::test]
async fn without_the_version_check_i1_or_i4_goes_red() {
    let mut usurped = Usurped::with("skip-fence,skip-version-check").await;
    usurped
        .other
        .cancel(usurped.order, "by the owner")
        .await
        .expect(200);
    usurped.first_writes("PREPARING").await;
    usurped.deployment.order.kill();
    usurped.second.kill();
    let found = found_soon(&usurped.deployment, &Acknowledged::default()).await;
    let broken = found
        .iter()
        .any(|v| matches!(v.invariant, Invariant::OneWriter | Invariant::Legal));
    assert!(broken, "the defect went unseen: {found:#?}");
}

/// The relay can't reach the broker, has removed its rows, and is killed.
#[tokio::test]
async fn without_the_brokers_word_before_the_delete_i5_goes_red() {
    let mut deployment = Deployment::start(Options::default()).await;
    deployment.relay.kill();
    let nowhere = format!("127.0.0.1:{}", crate::support::environment::free_port());
    let mut launch = deployment.launch_another("relay", "relay-b");
    launch
        .environment
        .push(("TRACKOPS_KAFKA_BROKERS".into(), nowhere));
    let mut defective = Role::spawn_with(launch, Some("delete-before-ack"));
    let told = Acknowledged::default();
    let placed = deployment.client.place(&order(), None).await.expect(201);
    told.note_view(&placed.body);
    until("the defective relay has removed the row", || async {
        let waiting = number(&deployment.orders_url, "SELECT count(*) FROM outbox").await;
        (waiting == 0).then_some(())
    })
    .await;
    defective.kill();
    deployment.relay.restart(None).await;
    let found = found_soon(&deployment, &told).await;
    assert_red(&found, Invariant::Outbox);
}

/// An answer while the commit waits for a lock, and a death that the commit doesn't survive.
#[tokio::test]
async fn an_answer_before_the_commit_turns_i3_red() {
    let mut deployment = Deployment::start(Options {
        order_fault: Some("answer-before-commit".into()),
        ..Options::default()
    })
    .await;
    let mut holder = connect(&deployment.orders_url).await;
    run(&mut holder, "BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await;
    let told = Acknowledged::default();
    let placed = deployment.client.place(&order(), None).await.expect(201);
    told.note_view(&placed.body);
    deployment.order.kill();
    // The statement outlives its client, as it may; here its session doesn't.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    run(&mut holder, end).await;
    run(&mut holder, "ROLLBACK").await;
    let found = found_soon(&deployment, &told).await;
    assert_red(&found, Invariant::DurableFirst);
}
