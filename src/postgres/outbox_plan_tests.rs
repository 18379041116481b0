//! The generic plans of the outbox' statements, with the table empty, full, and empty again, and with
//! statistics of any of these states. Every plan must find its rows one by one, by the primary key or by
//! their physical position (`ctid`).

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use trackops_cluster::ShardCount;
use uuid::Uuid;

use super::connections::session;
use super::outbox::SESSION;
use super::outbox_rows::{EXCHANGE, SET_ASIDE, STATS, TAKE_BACK};
use super::{Kind, migrate, url};

const FILL: &str = "
    INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
        SELECT n % 8, 1, 0, now(), gen_random_uuid(), gen_random_uuid(), 'ORDER_CREATED', '{}'
        FROM generate_series(1, 30000) n;
    INSERT INTO outbox_set_aside (seq, lane, version, ordinal, at, id, order_id, topic, payload, reason)
        SELECT n, n % 8, 1, 0, now(), gen_random_uuid(), gen_random_uuid(), 'X', '{}', 'unknown topic'
        FROM generate_series(1, 30000) n";

/// The states that the tables go through, each with old statistics and then with new ones.
const STATES: [(&str, &str); 6] = [
    ("empty and never counted", ""),
    ("empty", "ANALYZE"),
    ("full, counted while empty", FILL),
    ("full", "ANALYZE"),
    (
        "drained, counted while full",
        "DELETE FROM outbox; DELETE FROM outbox_set_aside",
    ),
    ("drained", "ANALYZE"),
];

const STATEMENTS: [(&str, &str, &str); 4] = [
    (
        EXCHANGE,
        "smallint[], bigint[], smallint[], bigint[], bigint[], bigint, bigint",
        "'{1,2}', '{10,11}', '{0,1,2,3,4,5,6,7}', '{0,0,0,0,0,0,0,0}', '{12,13}', 250, 1000000",
    ),
    (
        SET_ASIDE,
        "smallint[], bigint[], text[]",
        "'{1,2}', '{10,11}', '{a,b}'",
    ),
    (
        TAKE_BACK,
        "smallint[], text[], text, bigint",
        "'{1,2}', '{ORDER_CREATED}', 'unknown topic', 1000",
    ),
    (STATS, "bigint[], bigint", "'{0,0,0,0,0,0,0,0}', 10000"),
];

async fn run(connection: &mut PgConnection, sql: String) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await;
    let lines = rows.unwrap();
    lines.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

fn check(state: &str, plan: &[String]) {
    let text = plan.join("\n");
    let count = |wanted: &str| plan.iter().filter(|line| line.contains(wanted)).count();
    assert_eq!(count("Seq Scan"), 0, "{state}:\n{text}");
    // Each index scan has a start and an end.
    assert_eq!(
        count("Index Scan") + count("Index Only Scan"),
        count("Index Cond"),
        "{state}:\n{text}"
    );
    // In a join of the argument and the table, the argument is the outer side.
    for (at, line) in plan.iter().enumerate() {
        if line.contains("Nested Loop") {
            assert!(!plan[at + 1].contains("outbox"), "{state}:\n{text}");
        }
    }
    for kind in ["Hash Join", "Merge Join", "order_id"] {
        let found = plan
            .iter()
            .any(|line| line.contains(kind) && line.contains("outbox_order"));
        assert!(!found, "{state}:\n{text}");
    }
}

#[tokio::test]
async fn no_plan_of_the_outbox_depends_on_statistics() {
    let server = std::env::var("TRACKOPS_TEST_POSTGRES_URL")
        .expect("TRACKOPS_TEST_POSTGRES_URL must name a PostgreSQL server");
    let server = server.trim_end_matches('/');
    let name = format!("trackops_test_{}", Uuid::new_v4().simple());
    let url = format!("{server}/{name}");
    migrate(&url, Kind::Inventory, true, ShardCount::DEFAULT)
        .await
        .unwrap();
    for (state, sql) in STATES {
        // Each state has a session of its own, so that no cached plan hides a bad one.
        let mut connection = session(&url::options(&url).unwrap(), Duration::from_secs(60))
            .await
            .unwrap();
        run(&mut connection, format!("{SESSION}; {sql}")).await;
        for (number, (statement, types, arguments)) in STATEMENTS.iter().enumerate() {
            run(
                &mut connection,
                format!("PREPARE s{number}({types}) AS {statement}"),
            )
            .await;
            let explain = format!("EXPLAIN EXECUTE s{number}({arguments})");
            check(state, &run(&mut connection, explain).await);
        }
        connection.close().await.unwrap();
    }
    let mut session = PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    run(&mut session, format!("DROP DATABASE {name} WITH (FORCE)")).await;
}
