//! PostgreSQL, Redis and Kafka stopped and started again in the middle of the work, each a server of
//! the test's own.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;
use xtask::servers::{KafkaLaunch, PostgresLaunch, RedisLaunch};

use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::order;
use crate::support::check::assert_invariants;
use crate::support::client::Client;
use crate::support::databases::{execute, number};
use crate::support::deployment::{Deployment, Options};
use crate::support::load::Load;
use crate::support::moving_name::MovingName;
use crate::support::own_servers::Own;
use crate::support::recorder::Recorder;
use crate::support::wait::until;

fn recorded(client: &Client) -> (Arc<Acknowledged>, Arc<Recorder>) {
    let told = Arc::new(Acknowledged::default());
    let recorder = Recorder::start(&client.to.order, Arc::clone(&told));
    (told, Arc::new(recorder))
}

/// The status of `/readyz` with what it says of `check`.
async fn readiness(client: &Client, management: &str, check: &str) -> (u16, String, String) {
    let answer = client.fetch(&format!("{management}/readyz")).await;
    let checks = answer.body["checks"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let named = checks.iter().find(|named| named["name"] == check);
    let field = |name: &str| {
        let value = named.and_then(|named| named[name].as_str());
        value.unwrap_or_default().to_owned()
    };
    (answer.status, field("status"), field("reason"))
}

#[tokio::test]
async fn orders_are_placed_while_kafka_is_away_and_the_saga_goes_on_later() {
    let mut kafka = Own::<KafkaLaunch>::start().await;
    let deployment = Deployment::start(Options {
        kafka: Some(kafka.url()),
        ..Options::default()
    })
    .await;
    let client = &deployment.client;
    let (told, recorder) = recorded(client);
    let before = client.place(&order(), None).await.expect(201).id();
    client.reaches(before, "CONFIRMED").await;

    kafka.kill().await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let placed = client.place(&order(), None).await.expect(201);
        told.note_view(&placed.body);
        recorder.follow(placed.id()).await;
        waiting.push(placed.id());
    }
    // What needs no message goes on, too.
    let step = client.advance(before, "PREPARING", &[]).await.expect(200);
    told.note_view(&step.body);
    let cancelled = client
        .cancel(waiting[0], "changed my mind")
        .await
        .expect(200);
    told.note_view(&cancelled.body);
    until("readiness names Kafka and stays", || async {
        let ready = readiness(client, &client.to.order_management, "kafka").await;
        (ready.0 == 200 && ready.1 == "degraded" && !ready.2.is_empty()).then_some(())
    })
    .await;
    let outbox = client
        .fetch(&format!("{}/admin/v1/outbox", client.to.order_management))
        .await;
    let pending = outbox.body["items"][0]["pending"].as_u64();
    assert!(
        pending >= Some(12),
        "events wait in the outbox: {outbox:#?}"
    );

    kafka.restart().await;
    for id in &waiting[1..] {
        client.reaches(*id, "CONFIRMED").await;
    }
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}

#[tokio::test]
async fn everything_works_while_redis_is_away_and_nothing_is_stale_afterwards() {
    let mut redis = Own::<RedisLaunch>::start().await;
    let mut deployment = Deployment::start(Options {
        redis: Some(redis.url()),
        // So that reads come from the cache and not from live actors.
        environment: vec![
            ("TRACKOPS_PASSIVATE_LIVE_MS", "200".into()),
            ("TRACKOPS_PASSIVATE_FINAL_MS", "200".into()),
        ],
        ..Options::default()
    })
    .await;
    let (told, recorder) = recorded(&deployment.client);
    let load = Load::start(&deployment.client, &told, &recorder);
    load.more(40).await;
    // Stopped cleanly it keeps what it has, and comes back with entries that are old by then.
    redis.stop().await;
    load.more(40).await;
    until("readiness names Redis and stays", || async {
        let client = &deployment.client;
        let ready = readiness(client, &client.to.order_management, "redis").await;
        (ready.0 == 200 && ready.1 == "degraded" && !ready.2.is_empty()).then_some(())
    })
    .await;
    redis.restart().await;
    load.more(40).await;
    // Killed in between, the role has forgotten what it had to distrust; the database hasn't.
    redis.stop().await;
    load.more(20).await;
    deployment.order.kill();
    redis.restart().await;
    deployment.order.restart(None).await;
    load.more(20).await;
    load.finish().await;
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}

#[tokio::test]
async fn without_postgres_writes_are_refused_reads_go_on_and_it_recovers_by_itself() {
    let mut postgres = Own::<PostgresLaunch>::start().await;
    let deployment = Deployment::start(Options {
        postgres: Some(postgres.url()),
        ..Options::default()
    })
    .await;
    let client = &deployment.client;
    let (told, recorder) = recorded(client);
    let known = client.place(&order(), None).await.expect(201).id();
    recorder.follow(known).await;
    let shown = client.reaches(known, "CONFIRMED").await;
    told.note_view(&shown.body);
    let load = Load::start(client, &told, &recorder);
    load.more(30).await;

    postgres.kill().await;
    let refused = client.place(&order(), None).await.expect(503);
    assert!(!refused.header("retry-after").is_empty(), "{refused:#?}");
    assert_eq!(refused.text("code"), "unavailable");
    client.advance(known, "PREPARING", &[]).await.expect(503);
    until("readiness says why", || async {
        let answer = client
            .fetch(&format!("{}/readyz", client.to.order_management))
            .await;
        (answer.status == 503 && answer.text("detail").contains("postgres")).then_some(())
    })
    .await;
    // Beyond the lease: nobody can write, so what is known is still true; and its age is told.
    let aged = until("a read tells its age", || async {
        let answer = client.show(known).await.expect(200);
        (!answer.header("age").is_empty()).then_some(answer)
    })
    .await;
    assert_eq!(aged.body["status"], Value::from("CONFIRMED"));
    let history = format!("{}/api/v1/orders/{known}/history", client.to.order);
    let history = client.fetch(&history).await.expect(200);
    assert!(!history.header("age").is_empty(), "{history:#?}");
    let alive = client
        .fetch(&format!("{}/livez", client.to.order_management))
        .await;
    assert_eq!(alive.status, 200, "a restart would not help");

    postgres.restart().await;
    load.more(40).await;
    load.finish().await;
    assert_invariants(&deployment, &told, Some(&recorder)).await;
}

/// Waits until the order role is unready and says `text` of `check`.
async fn until_unready(client: &Client, management: &str, check: &str, text: &str) {
    until(&format!("{check} of {management} says {text}"), || async {
        let ready = readiness(client, management, check).await;
        (ready.0 == 503 && ready.1 == "unready" && ready.2.contains(text)).then_some(())
    })
    .await;
}

/// Nothing can be written, though everything answers: readiness says what writing says.
#[tokio::test]
async fn a_read_only_postgres_makes_every_role_unready_until_it_is_not() {
    let postgres = Own::<PostgresLaunch>::start().await;
    let deployment = Deployment::start(Options {
        postgres: Some(postgres.url()),
        ..Options::default()
    })
    .await;
    let client = &deployment.client;
    let known = client.place(&order(), None).await.expect(201).id();
    client.reaches(known, "CONFIRMED").await;
    let admin = format!("{}/postgres", postgres.url());
    let tell = async |sql: &str| {
        execute(&admin, sql).await.expect("an order to the server");
        execute(&admin, "SELECT pg_reload_conf()")
            .await
            .expect("heard");
    };

    tell("ALTER SYSTEM SET default_transaction_read_only = on").await;
    let to = &client.to;
    until_unready(client, &to.order_management, "postgres", "read-only").await;
    until_unready(client, &to.order_management, "shards", "lease").await;
    until_unready(client, &to.inventory_management, "postgres", "read-only").await;
    until_unready(client, &to.relay_management, "postgres-orders", "read-only").await;
    client.place(&order(), None).await.expect(503);
    let shown = client.show(known).await.expect(200);
    assert!(!shown.header("age").is_empty(), "{shown:#?}");

    tell("ALTER SYSTEM RESET default_transaction_read_only").await;
    let writable = Instant::now();
    let placed = until("orders are placed again", || async {
        let answer = client.place(&order(), None).await;
        (answer.status == 201).then(|| answer.id())
    })
    .await;
    eprintln!("placed again after {:?}", writable.elapsed());
    client.reaches(placed, "CONFIRMED").await;
    for management in [
        &to.order_management,
        &to.inventory_management,
        &to.relay_management,
    ] {
        let url = format!("{management}/readyz");
        until("it is ready again", || async {
            (client.fetch(&url).await.status == 200).then_some(())
        })
        .await;
    }
}

/// The primary is lost, its name leads to the standby, and that is promoted in the end.
#[tokio::test]
async fn a_standby_is_not_written_to_before_it_is_promoted() {
    let mut primary = Own::<PostgresLaunch>::start().await;
    let port = primary.port();
    let name = MovingName::of(([127, 0, 0, 1], port).into()).await;
    let deployment = Deployment::start(Options {
        postgres: Some(format!("postgres://postgres@{}", name.address)),
        ..Options::default()
    })
    .await;
    let client = &deployment.client;
    let standby =
        Own::<PostgresLaunch>::start_on(move |dir| PostgresLaunch::follow(dir, port)).await;
    let known = client.place(&order(), None).await.expect(201).id();
    client.reaches(known, "CONFIRMED").await;
    let (_, database) = deployment.orders_url.rsplit_once('/').expect("a database");
    let behind = format!("{}/{database}", standby.url());
    let confirmed = format!("SELECT count(*) FROM order_events WHERE order_id = '{known}'");
    until("the standby has the order", || async {
        (number(&behind, &confirmed).await == 2).then_some(())
    })
    .await;

    name.lead_to(([127, 0, 0, 1], standby.port()).into());
    primary.kill().await;
    let to = &client.to;
    until_unready(client, &to.order_management, "postgres", "standby").await;
    until_unready(client, &to.order_management, "shards", "lease").await;
    until_unready(client, &to.inventory_management, "postgres", "standby").await;
    client.place(&order(), None).await.expect(503);

    execute(&behind, "SELECT pg_promote()")
        .await
        .expect("promoted");
    let placed = until("orders are placed again", || async {
        let answer = client.place(&order(), None).await;
        (answer.status == 201).then(|| answer.id())
    })
    .await;
    client.reaches(placed, "CONFIRMED").await;
    client.advance(known, "PREPARING", &[]).await.expect(200);
}
