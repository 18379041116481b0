//! Files of `dev` that older versions have left: today's code reads all that is in them, and today's `dev` goes
//! on with what they have left undone.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use trackops::embedded::Embedded;
use trackops::model::topic::Topic;
use trackops::ports::clock::SystemClock;

use super::dump;
use super::scenario::{self, reservation};
use super::shown::{Shown, assert_still_shown};
use super::stores::Stores;
use super::{dumps, fixtures};
use crate::support::dev::{DevProcess, client_of, launch};
use crate::support::environment::{free_port, fresh_folder, fresh_tag};
use crate::support::role::Role;
use crate::support::wait::until;

const FILE: &str = "trackops.db";
const DUMP: &str = "database.sql";
/// The clock of `dev` is that far ahead.
const A_DAY_LATER: &str = "clock-shift=86400000";

fn connection(data: &std::path::Path) -> String {
    format!("sqlite://{}", data.join(FILE).display())
}

async fn loaded(folder: &std::path::Path) -> std::path::PathBuf {
    let data = fresh_folder(&fresh_tag()).join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    let text = std::fs::read_to_string(folder.join(DUMP)).expect("a dump");
    dump::into_sqlite(&text, &data.join(FILE)).await;
    data
}

#[tokio::test]
async fn every_file_is_read_as_it_was_shown() {
    for (form, folder) in dumps("sqlite") {
        let (data, shown) = (loaded(&folder).await, Shown::read(&folder));
        let embedded = Embedded::open(&data, Arc::new(SystemClock))
            .await
            .expect("migrated");
        let stores = Stores {
            journal: embedded.journal(),
            outboxes: [embedded.orders_outbox(), embedded.inventory_outbox()],
            stock: embedded.stock(),
        };
        let (waiting, set_aside) = stores.compare(&shown).await;
        assert!(waiting >= 5, "form {form}: {waiting}");
        assert_eq!(set_aside, u64::from(form >= 3), "form {form}");
        for topic in [
            Topic::OrderCreated,
            Topic::InventoryReserved,
            Topic::InventoryReleased,
        ] {
            let read = embedded
                .bus()
                .read(topic.as_str(), None, 100)
                .await
                .expect("read");
            assert!(!read.is_empty(), "form {form}: {topic}");
            assert!(
                read.iter()
                    .all(|message| message.header("ce_type") == Some(topic.as_str()))
            );
        }
        embedded.close().await;
        std::fs::remove_dir_all(&data).expect("removed");
    }
}

#[tokio::test]
async fn every_file_becomes_what_a_new_one_is() {
    let schema = "SELECT type || ' ' || name || ' ' || sql FROM sqlite_schema
                  WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type, name";
    let mut found = Vec::new();
    let fresh = fresh_folder(&fresh_tag()).join("data");
    let folders: Vec<_> = dumps("sqlite")
        .into_iter()
        .map(|(_, folder)| folder)
        .collect();
    let mut all = vec![fresh];
    for folder in &folders {
        all.push(loaded(folder).await);
    }
    for data in all {
        let embedded = Embedded::open(&data, Arc::new(SystemClock))
            .await
            .expect("migrated");
        embedded.close().await;
        let mut conn = SqliteConnection::connect(&connection(&data))
            .await
            .expect("a file");
        found.push(dump::texts(&mut conn, schema).await);
        conn.close().await.expect("closed");
        std::fs::remove_dir_all(&data).expect("removed");
    }
    for (one, folder) in found[1..].iter().zip(folders) {
        assert_eq!(*one, found[0], "{}", folder.display());
    }
}

#[tokio::test]
async fn todays_dev_goes_on_with_every_file() {
    for (_, folder) in dumps("sqlite") {
        let (data, shown) = (loaded(&folder).await, Shown::read(&folder));
        let logs = data.parent().expect("in a folder").to_owned();
        // As if the file had been left long ago, whenever this runs.
        let mut role = Role::spawn_with(launch(&logs, &data, free_port()), Some(A_DAY_LATER));
        role.ready().await;
        let client = client_of(&role);
        for order in &shown.orders {
            let id = order.id();
            if !matches!(order.status(), "PENDING" | "CANCELLED") {
                let today = client.show(id).await.expect(200).body;
                assert_still_shown(&order.view, &today, "view");
                continue;
            }
            let reservation = reservation(&client, id);
            until("its saga has ended", || async {
                let order = client.show(id).await;
                let stock = client.fetch(&reservation).await;
                // Its deadline may pass before inventory answers.
                let pair = (order.text("status"), stock.text("state"));
                let is_over = matches!(
                    pair,
                    ("CONFIRMED", "RESERVED") | ("CANCELLED", "RELEASED" | "BARRED")
                );
                is_over.then_some(())
            })
            .await;
        }
        let placed = client
            .place(&crate::support::bodies::order(), Some("first-order"))
            .await;
        assert_eq!(placed.header("idempotency-replayed"), "true", "{placed:?}");
        let orders: Vec<_> = shown
            .orders
            .iter()
            .map(super::shown::ShownOrder::id)
            .collect();
        let today = Shown::ask(&client, &orders).await;
        for (sku, item) in today.items {
            let held = today
                .orders
                .iter()
                .filter(|order| order.reservation["state"] == "RESERVED");
            let lines =
                held.flat_map(|order| order.reservation["items"].as_array().into_iter().flatten());
            let held = lines
                .filter(|line| line["sku"] == *sku)
                .filter_map(|line| line["quantity"].as_u64());
            assert_eq!(item["reserved"], Value::from(held.sum::<u64>()), "{sku}");
        }
        role.kill();
        std::fs::remove_dir_all(&logs).expect("removed");
    }
}

/// Writes the dump of the form that the program's `dev` has.
#[tokio::test]
#[ignore = "writes into tests/fixtures/upgrade"]
async fn write_the_dump() {
    let mut dev = DevProcess::start(None).await;
    let mut orders = scenario::settled(&dev.client).await;
    let confirmed = scenario::confirmed(&dev.client).await;
    dev.role.kill();
    let file = connection(&dev.data);
    let mut conn = SqliteConnection::connect(&file).await.expect("a file");
    let refuse =
        "CREATE TRIGGER deaf BEFORE INSERT ON bus_messages BEGIN SELECT raise(ABORT, 'deaf'); END";
    sqlx::raw_sql(refuse)
        .execute(&mut conn)
        .await
        .expect("a trigger");
    conn.close().await.expect("closed");
    dev.role.restart(None).await;
    let client = client_of(&dev.role);
    orders.extend(scenario::open(&client, confirmed).await);
    let shown = Shown::ask(&client, &orders).await;
    dev.role.kill();
    let mut conn = SqliteConnection::connect(&file).await.expect("a file");
    sqlx::raw_sql("DROP TRIGGER deaf")
        .execute(&mut conn)
        .await
        .expect("dropped");
    let form: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut conn)
        .await
        .expect("a number");
    if form >= 3 {
        // As a relay leaves a row that it can't read.
        let aside = "INSERT INTO outbox_set_aside
            SELECT seq + 1000, owner, lane, order_id, message_id, 'ORDER_ARCHIVED', version, ordinal, at, '{}',
                   traceparent, inserted_at, 'unknown topic' FROM outbox LIMIT 1";
        sqlx::raw_sql(aside)
            .execute(&mut conn)
            .await
            .expect("set aside");
    }
    let folder = fixtures().join(format!("sqlite-{form:04}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = dump::of_sqlite(&mut conn).await;
    std::fs::write(folder.join(DUMP), text).expect("written");
    shown.write(&folder);
}
