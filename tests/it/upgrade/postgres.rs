//! Databases of the roles that older versions have left: they are migrated, and today's code reads all that is
//! in them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use trackops::postgres::{Database, Kind, SchemaState, Settings, migrate};
use trackops_cluster::ShardCount;
use trackops_cluster::membership::{Membership as _, NodeId};

use super::shown::Shown;
use super::stores::Stores;
use super::{dump, dumps, fixtures, scenario};
use crate::support::databases::{Databases, connect, number};
use crate::support::deployment::{Deployment, Options};
use crate::support::environment::{self, fresh_tag};

/// Both databases: the folder of their own migrations is named as the dump.
const KINDS: [(Kind, &str); 2] = [(Kind::Orders, "orders"), (Kind::Inventory, "inventory")];

#[tokio::test]
async fn every_database_is_migrated_and_read_as_it_was_shown() {
    for (last, folder) in dumps("postgres") {
        let shown = Shown::read(&folder);
        let mut databases = Databases::on(&environment::postgres());
        let tag = fresh_tag();
        let mut open = Vec::new();
        for (kind, name) in KINDS {
            let url = databases.create(&format!("{tag}_{name}")).await;
            let mut session = connect(&url).await;
            let text = std::fs::read_to_string(folder.join(format!("{name}.sql"))).expect("a dump");
            dump::into_postgres(&text, name, &mut session).await;
            session.close().await.expect("closed");
            let migrated = migrate(&url, kind, false, ShardCount::DEFAULT)
                .await
                .expect("migrated");
            assert_eq!(
                migrated.shards,
                (kind == Kind::Orders).then_some(16),
                "{last}"
            );
            let database = Database::open(&url, kind, Settings::default()).expect("a URL");
            let state = database.schema_state().await.expect("an answer");
            assert_eq!(state, SchemaState::Migrated);
            open.push((url, database));
        }
        let [(orders_url, orders), (_, inventory)] = <[_; 2]>::try_from(open).expect("two");
        let stores = Stores {
            journal: Arc::new(orders.journal()),
            outboxes: [Arc::new(orders.outbox()), Arc::new(inventory.outbox())],
            stock: Arc::new(inventory.stock()),
        };
        let (waiting, set_aside) = stores.compare(&shown).await;
        assert!(waiting >= 5, "{last}: {waiting}");
        assert_eq!(set_aside, u64::from(last >= 8), "{last}");
        // An older version left no deadline for the release of stock, and would have waited for ever.
        let forgotten = "SELECT count(*) FROM orders WHERE deadline_at IS NULL AND saga ->> 'stock' = 'releasing'";
        assert_eq!(number(&orders_url, forgotten).await, 0, "{last}");
        let before = number(
            &orders_url,
            "SELECT incarnation FROM nodes WHERE node = 'order'",
        )
        .await;
        let (membership, node) = (orders.membership(), NodeId("order".into()));
        let joined = membership.join(&node, "127.0.0.1:1", Duration::from_secs(5));
        assert!(joined.await.expect("joined").0 > before, "{last}");
    }
}

/// Writes the dumps of both databases as the program's roles leave them.
#[tokio::test]
#[ignore = "writes into tests/fixtures/upgrade"]
async fn write_the_dumps() {
    let mut deployment = Deployment::start(Options::default()).await;
    let client = deployment.client.clone();
    let mut orders = scenario::settled(&client).await;
    let confirmed = scenario::confirmed(&client).await;
    deployment.relay.kill();
    orders.extend(scenario::open(&client, confirmed).await);
    let shown = Shown::ask(&client, &orders).await;
    for role in deployment.roles() {
        role.kill();
    }
    let mut texts = Vec::new();
    let mut last = 0;
    for (url, (_, name)) in [&deployment.orders_url, &deployment.inventory_url]
        .into_iter()
        .zip(KINDS)
    {
        last = last.max(number(url, "SELECT max(version) FROM _sqlx_migrations").await);
        let mut session = connect(url).await;
        if name == "orders" && last >= 8 {
            // As a relay leaves a row that it can't read.
            let aside = "INSERT INTO outbox_set_aside
                (seq, lane, version, ordinal, at, id, order_id, topic, traceparent, payload, reason)
                SELECT seq + 1000, lane, version, ordinal, at, id, order_id, 'ORDER_ARCHIVED', traceparent, '{}',
                       'unknown topic' FROM outbox LIMIT 1";
            sqlx::raw_sql(aside)
                .execute(&mut session)
                .await
                .expect("set aside");
        }
        texts.push((name, dump::of_postgres(&mut session).await));
        session.close().await.expect("closed");
    }
    let folder = fixtures().join(format!("postgres-{last:04}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in texts {
        std::fs::write(folder.join(format!("{name}.sql")), text).expect("written");
    }
    shown.write(&folder);
}
