//! Each check of the checker finds what it is there for: a system at rest is tampered with, one thing
//! at a time.

use serde_json::json;
use std::sync::Arc;
use trackops_domain::invariants::Invariant;

use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::order;
use crate::support::check::{Scope, Violation, assert_invariants, assert_red, check_invariants};
use crate::support::databases::execute;
use crate::support::deployment::{Deployment, Options};
use crate::support::recorder::Recorder;

async fn found(deployment: &Deployment, told: &Acknowledged) -> Vec<Violation> {
    let scope = Scope {
        settle_max: std::time::Duration::ZERO,
        running: true,
    };
    check_invariants(deployment, told, None, scope).await
}

/// Does and undoes: what is broken, what goes red, and how it is put right again.
const JOURNAL: [(&str, Invariant, &str); 5] = [
    (
        "UPDATE orders SET version = 9",
        Invariant::OneWriter,
        "UPDATE orders SET version = 2",
    ),
    (
        "UPDATE order_events SET status = 'DELIVERED' WHERE version = 2",
        Invariant::Legal,
        "UPDATE order_events SET status = 'CONFIRMED' WHERE version = 2",
    ),
    (
        "UPDATE order_events SET version = 3 WHERE version = 2",
        Invariant::OneWriter,
        "UPDATE order_events SET version = 2 WHERE version = 3",
    ),
    (
        "UPDATE order_events SET epoch = epoch + 5 WHERE version = 1",
        Invariant::Fenced,
        "UPDATE order_events SET epoch = epoch - 5 WHERE version = 1",
    ),
    // Written by a transaction after the claim of the shard's present epoch.
    (
        "UPDATE order_events SET epoch = epoch - 1",
        Invariant::Fenced,
        "UPDATE order_events SET epoch = epoch + 1",
    ),
];

const INVENTORY: [(&str, &str); 3] = [
    (
        "UPDATE items SET reserved = reserved + 1 WHERE sku = 'PIZZA'",
        "UPDATE items SET reserved = reserved - 1 WHERE sku = 'PIZZA'",
    ),
    (
        "UPDATE items SET on_hand = on_hand - 1 WHERE sku = 'PASTA'",
        "UPDATE items SET on_hand = on_hand + 1 WHERE sku = 'PASTA'",
    ),
    (
        "UPDATE reservations SET state = 'RELEASED'",
        "UPDATE reservations SET state = 'RESERVED'",
    ),
];

#[tokio::test]
async fn every_check_finds_what_it_is_there_for() {
    let deployment = Deployment::start(Options::default()).await;
    let client = &deployment.client;
    let told = Arc::new(Acknowledged::default());
    let recorder = Recorder::start(&client.to.order, Arc::clone(&told));
    let placed = client.place(&order(), None).await.expect(201);
    told.note_view(&placed.body);
    recorder.follow(placed.id()).await;
    client.reaches(placed.id(), "CONFIRMED").await;
    assert_invariants(&deployment, &told, Some(&recorder)).await;

    for (wrong, invariant, right) in JOURNAL {
        execute(&deployment.orders_url, wrong).await.expect(wrong);
        assert_red(&found(&deployment, &told).await, invariant);
        execute(&deployment.orders_url, right).await.expect(right);
    }
    for (wrong, right) in INVENTORY {
        execute(&deployment.inventory_url, wrong)
            .await
            .expect(wrong);
        assert_red(&found(&deployment, &told).await, Invariant::Stock);
        execute(&deployment.inventory_url, right)
            .await
            .expect(right);
    }
    let outsider = Acknowledged::default();
    let mut view = placed.body.clone();
    view["version"] = json!(7);
    outsider.note_view(&view);
    assert_red(
        &found(&deployment, &outsider).await,
        Invariant::DurableFirst,
    );

    let add = "INSERT INTO order_events SELECT (jsonb_populate_record(e, jsonb_build_object(
                   'version', 3, 'status', 'PREPARING', 'epoch', e.epoch))).*
               FROM order_events e WHERE version = 2;
               UPDATE orders SET version = 3, status = 'PREPARING'";
    execute(&deployment.orders_url, add).await.expect(add);
    let found = found(&deployment, &told).await;
    assert_red(&found, Invariant::Outbox);
    assert_red(&found, Invariant::Fresh);
}
