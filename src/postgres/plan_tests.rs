//! The plans of the statements that must never walk a table, on tables with enough rows to tell.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres};
use trackops_cluster::ShardCount;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::connections::session;
use super::types::{INFINITY, Millis};
use super::{Kind, connect_options, journal, migrate, outbox};

const FILL: &str = "
    INSERT INTO orders
        SELECT gen_random_uuid(), gen_random_uuid(), now() - n * interval '1 s', now(),
               CASE WHEN n % 50 = 0 THEN now() - n * interval '1 s' END, 1, n % 128,
               CASE WHEN n % 9 = 0 THEN 'PENDING' ELSE 'DELIVERED' END, '{}'
        FROM generate_series(1, 20000) n;
    INSERT INTO order_events (order_id, command_id, at, epoch, version, status, by, data)
        SELECT id, gen_random_uuid(), created_at, 1, 1, 'PENDING', 'client', '{}' FROM orders;
    INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
        SELECT shard % 8, 1, 0, now(), id, id, 'ORDER_CREATED', '{}' FROM orders;
    ANALYZE";

type Bound = Query<'static, Postgres, PgArguments>;

async fn plan(
    connection: &mut PgConnection,
    sql: &str,
    bind: impl FnOnce(Bound) -> Bound,
) -> String {
    let query = sqlx::query(AssertSqlSafe(format!("EXPLAIN {sql}")));
    let rows = bind(query).fetch_all(connection).await.unwrap();
    let lines = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0));
    lines.collect::<Vec<_>>().join("\n")
}

fn assert_uses(plan: &str, indexes: &[&str]) {
    for index in indexes {
        assert!(plan.contains(index), "no {index} in\n{plan}");
    }
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn lists_deadlines_and_lanes_are_read_by_index() {
    let server = std::env::var("TRACKOPS_TEST_POSTGRES_URL")
        .expect("TRACKOPS_TEST_POSTGRES_URL must name a PostgreSQL server");
    let server = server.trim_end_matches('/');
    let name = format!("trackops_test_{}", Uuid::new_v4().simple());
    let url = format!("{server}/{name}");
    migrate(&url, Kind::Orders, true, ShardCount::DEFAULT)
        .await
        .unwrap();
    let options = connect_options(&url).unwrap();
    let mut connection = session(&options, Duration::from_secs(60)).await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut connection).await.unwrap();

    let page = |query: Bound, statuses: Vec<&'static str>| {
        query
            .bind(statuses)
            .bind(INFINITY)
            .bind(Uuid::max())
            .bind(50_i64)
    };
    for statuses in [vec!["PENDING"], Status::ALL.map(Status::as_str).to_vec()] {
        let list = plan(&mut connection, journal::LIST, |q| page(q, statuses)).await;
        assert_uses(&list, &["orders_by_status", "order_events_pkey"]);
        assert!(list.contains("Backward"), "the newest first:\n{list}");
    }
    let all = Status::ALL.map(Status::as_str).to_vec();
    let list = plan(&mut connection, journal::LIST_OF_CUSTOMER, |q| {
        page(q, all).bind(Uuid::new_v4())
    });
    assert_uses(&list.await, &["orders_by_customer", "order_events_pkey"]);
    let due = plan(&mut connection, journal::DUE, |query| {
        let shards: Vec<i16> = (0..128).collect();
        query
            .bind(shards)
            .bind(Millis(Timestamp(4_000_000_000_000)))
            .bind(100_i64)
    });
    assert_uses(&due.await, &["orders_by_deadline", "outbox_order"]);
    let fetch = plan(&mut connection, outbox::FETCH, |query| {
        query.bind(3_i16).bind(100_i64)
    });
    assert_uses(&fetch.await, &["outbox_pkey"]);
    let acknowledge = plan(&mut connection, outbox::ACKNOWLEDGE, |query| {
        query.bind(vec![1_i16, 2]).bind(vec![10_i64, 11])
    });
    assert_uses(&acknowledge.await, &["outbox_pkey"]);
    let load = plan(&mut connection, journal::LOAD, |query| {
        query.bind(vec![Uuid::new_v4()])
    });
    assert_uses(&load.await, &["orders_pkey", "order_events_pkey"]);

    connection.close().await.unwrap();
    let mut session = PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::query(AssertSqlSafe(drop))
        .execute(&mut session)
        .await
        .unwrap();
}
