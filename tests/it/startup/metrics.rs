//! The metrics that dashboards rely on, at a running deployment.

use std::collections::BTreeSet;

use serde_json::json;

use crate::scenarios::Socket;
use crate::support::bodies::order;
use crate::support::deployment::{Deployment, Options};
use crate::support::stream::EventStream;
use crate::support::wait::until;

/// The list of names as it is published, without the prefix.
const NAMES: [&str; 25] = [
    "orders_live",
    "order_commands_total",
    "order_command_duration_seconds",
    "order_transitions_total",
    "journal_batch_size",
    "journal_commit_duration_seconds",
    "actor_restarts_total",
    "actors_quarantined",
    "mailbox_depth",
    "shards_owned",
    "shard_handoff_duration_seconds",
    "fenced_appends_total",
    "outbox_pending",
    "outbox_oldest_age_seconds",
    "relay_published_total",
    "bus_lag",
    "dead_letters_total",
    "cache_requests_total",
    "live_sessions",
    "live_push_duration_seconds",
    "live_conflated_total",
    "saga_duration_seconds",
    "saga_stuck",
    "http_request_duration_seconds",
    "invariant_violations_total",
];

#[tokio::test]
async fn every_metric_is_there_and_described() {
    let deployment = Deployment::start(Options::default()).await;
    let client = &deployment.client;
    let id = client.place(&order(), None).await.expect(201).id();
    let mut socket = Socket::open(client).await;
    let subscribe = json!({"type": "subscribe", "orderId": id, "since": 1});
    socket.send(&subscribe).await;
    let events = format!("{}/api/v1/orders/{id}/events", client.to.order);
    let mut stream = EventStream::open(&events, None).await;
    stream.next().await.expect("a snapshot");
    client.reaches(id, "CONFIRMED").await;
    client.advance(id, "PREPARING", &[]).await.expect(200);
    loop {
        let event = stream.next().await.expect("an update");
        if event.data["status"] == "PREPARING" {
            break;
        }
    }
    while socket.next().await["status"] != "PREPARING" {}
    report_nonsense(&deployment).await;
    let unknown = format!("{}/api/v1/orders/{}", client.to.order, uuid::Uuid::nil());
    let missing = reqwest::get(unknown).await.expect("an answer");
    assert_eq!(missing.status(), 404);
    let nowhere = reqwest::get(format!("{}/nowhere", client.to.order)).await;
    assert_eq!(nowhere.expect("an answer").status(), 404);

    let shown = until("every name is shown", || async {
        let to = &client.to;
        let (order, inventory, relay) = tokio::join!(
            client.metrics(&to.order_management),
            client.metrics(&to.inventory_management),
            client.metrics(&to.relay_management)
        );
        let all = [order?, inventory?, relay?].join("\n");
        let missing: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| !is_shown(&all, name))
            .collect();
        if !missing.is_empty() {
            eprintln!("not yet: {missing:?}");
        }
        missing.is_empty().then_some(all)
    })
    .await;
    // Whoever asks before the first event sees that there was none.
    for zero in [
        "trackops_fenced_appends_total 0",
        "trackops_actor_restarts_total 0",
        "trackops_live_conflated_total 0",
        "trackops_saga_stuck 0",
    ] {
        assert!(shown.lines().any(|line| line == zero), "{zero}\n{shown}");
    }
    let invariants: BTreeSet<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("trackops_invariant_violations_total{invariant=\""))
        .collect();
    let each = (1..=8).map(|n| format!("I{n}\"}} 0"));
    assert!(each.clone().eq(invariants.into_iter().map(str::to_owned)));
    assert!(shown.contains("saga_duration_seconds_bucket{outcome=\"CONFIRMED\",le=\"300\"}"));
    for labels in [
        r#"route="/api/v1/orders",method="POST",class="2xx""#,
        r#"route="/api/v1/orders/{id}",method="GET",class="4xx""#,
        r#"route="/api/v1/orders/{id}/status",method="PUT",class="2xx""#,
        r#"route="/api/v1/track",method="GET",class="1xx""#,
        r#"route="/metrics",method="GET",class="2xx""#,
        r#"route="other",method="other",class="4xx""#,
    ] {
        let line = format!("trackops_http_request_duration_seconds_count{{{labels}}} ");
        assert!(shown.contains(&line), "{line}");
    }
    let pushed = "trackops_live_push_duration_seconds_count ";
    let pushed = shown.lines().find_map(|line| line.strip_prefix(pushed));
    let pushed: u32 = pushed.and_then(|n| n.parse().ok()).expect("a count");
    assert!(
        pushed >= 2,
        "one by the socket, one by the stream: {pushed}"
    );
}

/// Whether a sample of `name` and its `# HELP` are in `text`.
fn is_shown(text: &str, name: &str) -> bool {
    let name = format!("trackops_{name}");
    let is_sample = |line: &str| {
        let rest = line.strip_prefix(&name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
    };
    let help = format!("# HELP {name} ");
    text.lines().any(is_sample) && text.lines().any(|line| line.starts_with(&help))
}

/// Leaves a dead letter.
async fn report_nonsense(deployment: &Deployment) {
    use rdkafka::producer::{FutureProducer, FutureRecord};
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &deployment.kafka)
        .create()
        .expect("a producer");
    let topic = format!("{}FULFILLMENT_UPDATES", deployment.kafka_prefix);
    let record = FutureRecord::to(&topic).key("x").payload("{");
    let sent = producer.send(record, std::time::Duration::from_secs(20));
    sent.await.expect("the broker takes it");
}
