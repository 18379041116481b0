//! No statement may scan a table that grows, with any statistics. A new statement is added here with those of
//! its module. An index of which it reads one range in order is added to `IN_ORDER`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use trackops_domain::ids::{CustomerId, OrderId, ShopId};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::{access, append, db, journal, outbox, retention};
use crate::ports::journal::ListFilter;

const FILL: &str = "
    INSERT INTO orders (id, shard, version, status, customer, created_at, updated_at, deadline, saga, shop)
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
        SELECT randomblob(16), n % 128, 1, iif(n % 9 = 0, 'PENDING', 'DELIVERED'), randomblob(16),
               n, n, iif(n % 50 = 0, n, NULL), '{}', iif(n % 2 = 0, 'mitte', NULL) FROM n;
    INSERT INTO order_events (order_id, version, epoch, at, by, command, status)
        SELECT id, 1, 1, 1, 'client', id, 'PENDING' FROM orders;
    INSERT INTO outbox (owner, lane, order_id, message_id, topic, version, ordinal, at, payload, inserted_at)
        SELECT 0, shard % 8, id, id, 'ORDER_CREATED', 1, 0, 1, '{}', 1 FROM orders;
    INSERT INTO api_keys (id, name, role, salt, mac, created_at, created_by)
        SELECT hex(id), 'till', '{\"role\":\"viewer\"}', x'00', x'00', 1, 'test' FROM orders;
    INSERT INTO audit (at, who, action, target, outcome, count)
        SELECT created_at, 'operator:ops', 'POST', '/', 'done', 1 FROM orders";

/// Indexes that a page reads from the end, up to its limit.
const IN_ORDER: [&str; 1] = ["USING INDEX orders_by_age"];

/// The steps of a statement's plan that scan a growing table.
async fn walks(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let steps = sqlx::query(AssertSqlSafe(explain)).fetch_all(connection);
    let steps = steps.await.unwrap();
    let steps = steps.iter().map(|row| row.get::<String, _>("detail"));
    let is_walk = |step: &String| {
        let has = |what: &str| step.contains(what);
        // A page is a subquery of a few rows, or the pages of several statuses.
        let is_page = (step == "SCAN o" && statement.contains(") o JOIN")) || has("(subquery-");
        let is_in_order = IN_ORDER.iter().any(|index| step.ends_with(index));
        let is_bounded = has("VIRTUAL TABLE") || has("CONSTANT ROW") || is_page || is_in_order;
        step.starts_with("SCAN") && !is_bounded
    };
    steps.filter(is_walk).collect()
}

fn pages() -> Vec<String> {
    let customer = Some(CustomerId(Uuid::nil()));
    let before = Some((Timestamp(1), OrderId(Uuid::nil())));
    let shops = ["mitte", "nord"].map(|name| ShopId::parse(name).unwrap());
    let mut pages = Vec::new();
    for statuses in [
        &[][..],
        &[Status::Pending],
        &[Status::Pending, Status::Delivered],
    ] {
        for (customer, shops) in [
            (None, &[][..]),
            (customer, &[]),
            (None, &shops[..1]),
            (None, &shops),
            (customer, &shops),
        ] {
            for before in [None, before] {
                let limit = 50;
                let filter = ListFilter {
                    statuses: statuses.iter().copied().collect(),
                    customer,
                    shops: shops.into(),
                    before,
                    limit,
                };
                pages.push(journal::page(&filter).sql().as_str().to_owned());
            }
        }
    }
    pages
}

#[tokio::test]
async fn nothing_that_grows_is_walked() {
    let mut statements: Vec<String> = [
        access::FIND,
        access::LIST,
        access::REVOKE,
        access::REVISION,
        access::RISE,
        access::LIST_AUDIT,
        append::CURRENT,
        append::PUT_HEADS,
        append::ADD_EVENTS,
        journal::LOGS,
        journal::DUE,
        outbox::INSERT,
        retention::ORDERS,
        retention::EVENTS_OF,
        retention::REMOVE_ORDERS,
        retention::REMOVE_EVENTS,
        retention::RESERVATIONS,
        retention::REMOVE_RESERVATIONS,
        retention::ADJUSTMENTS,
        retention::REMOVE_ADJUSTMENTS,
        retention::AUDIT,
        retention::REMOVE_AUDIT,
    ]
    .map(String::from)
    .into();
    statements.extend(pages());
    let mut connection = SqliteConnection::connect(":memory:").await.unwrap();
    for migration in db::MIGRATIONS {
        sqlx::raw_sql(*migration)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let mut found = Vec::new();
    for state in [
        "",
        "ANALYZE",
        FILL,
        "ANALYZE",
        "DELETE FROM outbox",
        "ANALYZE",
    ] {
        sqlx::raw_sql(state).execute(&mut connection).await.unwrap();
        for statement in &statements {
            let walks = walks(&mut connection, statement).await;
            if !walks.is_empty() {
                found.push(format!("after {state:?}: {walks:?} in {statement}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
