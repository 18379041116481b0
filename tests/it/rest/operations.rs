//! The management routes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use trackops::api::probes::readiness::{CheckResult, Need};
use trackops::ports::outbox::UnreadableRow;
use trackops_domain::ids::OrderId;

use super::support::{Api, STUCK_AFTER, still};
use crate::actors::rig;
use crate::contract::outbox::all_rows;

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let api = Api::new().await;
    let postgres = Arc::new(Mutex::new(Ok::<(), &str>(())));
    let redis = Arc::new(Mutex::new(Ok::<(), &str>(())));
    for (name, need, state) in [
        ("postgres", Need::Required, &postgres),
        ("redis", Need::Optional, &redis),
    ] {
        let state = Arc::clone(state);
        api.readiness
            .ping(name, need, move || std::future::ready(*state.lock()));
    }
    api.get("/startupz")
        .await
        .problem(503, "not-started", "/startupz");
    api.get("/readyz")
        .await
        .problem(503, "not-ready", "/readyz");
    api.readiness.set_started();
    assert_eq!(api.get("/startupz").await.status, 200);
    let answer = api.get("/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["status"]),
        (200, &json!("ready"))
    );

    *redis.lock() = Err("connection refused");
    let answer = api.get("/readyz").await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!("degraded", answer.json());

    *postgres.lock() = Err("the journal is away");
    let problem = api
        .get("/readyz")
        .await
        .problem(503, "not-ready", "/readyz");
    insta::assert_json_snapshot!("not_ready", problem);
    *postgres.lock() = Ok(());
    assert_eq!(api.get("/readyz").await.status, 200);

    api.readiness.set_draining();
    let problem = api
        .get("/readyz")
        .await
        .problem(503, "not-ready", "/readyz");
    assert_eq!(problem["detail"], "process: draining");
    assert_eq!(api.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_check_that_hangs_counts_as_failed() {
    let api = Api::new().await;
    tokio::time::pause();
    api.readiness.set_started();
    api.readiness
        .check("kafka", Need::Optional, std::future::pending::<CheckResult>);
    let answer = api.get("/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["status"]),
        (200, &json!("degraded"))
    );
    api.readiness.check(
        "postgres",
        Need::Required,
        std::future::pending::<CheckResult>,
    );
    api.get("/readyz")
        .await
        .problem(503, "not-ready", "/readyz");
}

#[tokio::test]
async fn an_actor_is_shown_and_released() {
    let api = Api::new().await;
    let id = api.place().await;
    let order = OrderId(id.parse().expect("a UUID"));
    rig::quarantine(&api.node, order).await;
    let actor = api.get(&format!("/admin/v1/actors/{id}")).await;
    let differing = ["/orderId", "/shard", "/lastError/at"];
    insta::assert_json_snapshot!("actor", still(actor.json(), &differing));
    let release = format!("/admin/v1/actors/{id}/release");
    for released in [true, false] {
        let answer = api.json("POST", &release, &json!({})).await;
        assert_eq!(
            answer.json(),
            json!({ "orderId": id, "released": released })
        );
    }
}

#[tokio::test]
async fn outboxes_and_metrics_are_shown() {
    let api = Api::new().await;
    for _ in 0..4 {
        api.place().await;
    }
    let outbox = api.store.orders_outbox();
    let unreadable = UnreadableRow {
        row_id: all_rows(&*outbox).await[0].row_id,
        reason: "no topic".into(),
    };
    outbox.set_aside(&[unreadable]).await.expect("set aside");
    api.clock.put_forward(Duration::from_hours(1));
    let shown = api.get("/admin/v1/outbox").await.json();
    let age = shown["items"][0]["oldestAgeSeconds"].as_f64();
    assert!(age.is_some_and(|seconds| seconds >= 3_600.0), "{shown}");
    let expected = json!({
        "items": [{ "name": "orders", "pending": 3, "oldestAgeSeconds": "[differs]", "setAside": 1 }]
    });
    assert_eq!(still(shown, &["/items/0/oldestAgeSeconds"]), expected);
    let metrics = api.get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_and_sent_again() {
    let api = Api::new().await;
    let path = "/admin/v1/dead-letters?topic=FULFILLMENT_UPDATES&limit=2";
    let list = api.get(path).await.json();
    let cursor = list["nextCursor"].as_str().expect("there is more");
    let rest = api.get(&format!("{path}&cursor={cursor}")).await.json();
    assert_eq!(rest["items"][0]["offset"], 6);
    assert!(rest["nextCursor"].is_null());
    insta::assert_json_snapshot!("dead_letters", list);
    let path = "/admin/v1/dead-letters/FULFILLMENT_UPDATES/0/4";
    assert_eq!(api.get(path).await.json(), list["items"][0]);
    let sent = api.json("POST", &format!("{path}/send"), &json!({})).await;
    assert_eq!(
        (sent.status.as_u16(), sent.json()),
        (200, json!({ "topic": "FULFILLMENT_UPDATES" }))
    );
    assert_eq!(api.dead_letters.sent.lock()[0].offset, 4);
    let whole = "/admin/v1/dead-letters/FULFILLMENT_UPDATES/0/6/send";
    let answer = api.json("POST", whole, &json!({})).await;
    answer.problem(409, "content-left-out", whole);
    let none = "/admin/v1/dead-letters/FULFILLMENT_UPDATES/0/7/send";
    let answer = api.json("POST", none, &json!({})).await;
    answer.problem(404, "dead-letter-not-found", none);
}

#[tokio::test]
async fn the_orders_that_wait_for_inventory_are_listed() {
    let api = Api::new().await;
    let stuck = api.place().await;
    let cancel = json!({ "reason": "too late" });
    let path = format!("/api/v1/orders/{stuck}/cancel");
    assert_eq!(api.json("POST", &path, &cancel).await.status, 200);
    api.clock.put_forward(STUCK_AFTER + Duration::from_secs(1));
    let waiting = api.place().await;
    let ids = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items
            .map(|item| item["orderId"].as_str().expect("an id").to_owned())
            .collect()
    };
    let page = api.get("/admin/v1/sagas?state=stuck").await.json();
    assert_eq!(ids(&page), [&*stuck]);
    let item = &page["items"][0];
    let shown = (&item["status"], &item["awaits"], &item["askedAgain"]);
    assert_eq!(shown, (&json!("CANCELLED"), &json!("release"), &json!(0)));
    let mut seen = Vec::new();
    let mut path = "/admin/v1/sagas?limit=1".to_owned();
    for last in [false, true] {
        let page = api.get(&path).await.json();
        seen.extend(ids(&page));
        assert_eq!(page["nextCursor"].is_null(), last);
        let cursor = page["nextCursor"].as_str().unwrap_or_default();
        path = format!("/admin/v1/sagas?limit=1&cursor={cursor}");
    }
    seen.sort_unstable();
    let mut all = [waiting.clone(), stuck.clone()];
    all.sort_unstable();
    assert_eq!(seen, all);
    let answer = api.get("/admin/v1/sagas?state=odd").await;
    answer.problem(400, "invalid-parameter", "/admin/v1/sagas");
}
