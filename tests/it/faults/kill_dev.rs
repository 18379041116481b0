//! `kill -9` of `trackops dev` under load: what it told anyone is in its file, and the saga goes on.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::acknowledged::Acknowledged;
use crate::support::bodies::{ON_HAND, SKUS};
use crate::support::check::journal::{EventRow, JournalRows, OrderRow, ShardRow};
use crate::support::check::{journal, shown};
use crate::support::client::Client;
use crate::support::dev::DevProcess;
use crate::support::load::Load;
use crate::support::recorder::Recorder;
use crate::support::wait::until;

const ROUNDS: usize = 4;

/// The journal as the histories of all orders show it: the file itself is the process's own.
async fn journal_by_rest(client: &Client) -> JournalRows {
    let mut rows = JournalRows::default();
    rows.shards.insert(
        0,
        ShardRow {
            epoch: 0,
            transaction: 0,
        },
    );
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!("/api/v1/orders?limit=200{cursor}"))
            .await
            .expect(200);
        for order in page.body["items"].as_array().expect("items") {
            let id = order["id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .expect("an id");
            let row = OrderRow {
                version: version(&order["version"]),
                status: order["status"].as_str().expect("a status").into(),
                shard: 0,
            };
            rows.orders.insert(id, row);
            let history = client
                .get(&format!("/api/v1/orders/{id}/history"))
                .await
                .expect(200);
            let entries = history.body["items"].as_array().or(history.body.as_array());
            let events = entries.expect("a list").iter().map(|entry| EventRow {
                version: version(&entry["version"]),
                status: entry["status"].as_str().expect("a status").into(),
                epoch: 0,
                transaction: 0,
            });
            rows.events.insert(id, events.collect());
        }
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn version(value: &serde_json::Value) -> u32 {
    value
        .as_u64()
        .and_then(|v| u32::try_from(v).ok())
        .expect("a version")
}

/// Every saga is over and the stock fits the orders (I6).
async fn stock_settles(client: &Client) {
    until("the stock fits the orders", || async {
        let rows = journal_by_rest(client).await;
        let mut by_status: HashMap<&str, usize> = HashMap::new();
        for order in rows.orders.values() {
            *by_status.entry(&order.status).or_default() += 1;
        }
        if by_status.contains_key("PENDING") {
            return None;
        }
        let holding = ["CONFIRMED", "PREPARING", "IN_TRANSIT"];
        let open = holding.iter().any(|status| by_status.contains_key(status));
        let delivered = by_status.contains_key("DELIVERED");
        let (mut reserved, mut gone) = (0, 0);
        for sku in SKUS {
            let url = format!("{}/api/v1/inventory/items/{sku}", client.to.inventory);
            let item = client.fetch(&url).await.expect(200).body;
            reserved += item["reserved"].as_u64()?;
            gone += ON_HAND - item["onHand"].as_u64()?;
        }
        (open == (reserved > 0) && delivered == (gone > 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_by_killing_dev_at_any_moment() {
    let mut dev = DevProcess::start(None).await;
    let client = dev.client.clone();
    let told = Arc::new(Acknowledged::default());
    let recorder = Arc::new(Recorder::start(&client.to.order, Arc::clone(&told)));
    let load = Load::start(&client, &told, &recorder);
    for _ in 0..ROUNDS {
        load.more(40).await;
        dev.role.kill();
        dev.role.restart(None).await;
    }
    load.more(40).await;
    load.finish().await;
    stock_settles(&client).await;

    let rows = journal_by_rest(&client).await;
    let mut found = told.violations();
    found.extend(journal::check(&rows));
    found.extend(shown::check_told(&rows, &told.seen()));
    found.extend(shown::check_recorder(&recorder, &rows).await);
    assert_eq!(found, []);
    let metrics = client.metrics(&client.to.order_management).await;
    let counter = trackops::telemetry::names::INVARIANT_VIOLATIONS;
    let metrics = metrics.expect("metrics");
    assert!(
        !metrics
            .lines()
            .any(|line| line.starts_with(counter) && !line.ends_with(" 0"))
    );
}
