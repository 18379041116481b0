//! `PgBouncer` between the roles and PostgreSQL: as good as PostgreSQL itself where it lends sessions, and
//! refused where it lends transactions.

use xtask::servers::PgBouncerLaunch;

use crate::support::bodies::order;
use crate::support::databases::Databases;
use crate::support::deployment::{Deployment, Options, run_to_end};
use crate::support::environment::{self, fresh_tag};
use crate::support::own_servers::Own;

/// A pooler before the shared PostgreSQL.
async fn pooler(mode: &'static str) -> Own<PgBouncerLaunch> {
    let postgres = environment::postgres();
    let port = postgres.trim_end_matches('/').rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok()).expect("a port");
    Own::start_on(move |dir| PgBouncerLaunch::choose(dir, port, mode)).await
}

#[tokio::test]
async fn a_pooler_of_sessions_is_as_good_as_postgres() {
    let pooler = pooler("session").await;
    let mut deployment = Deployment::start(Options {
        postgres: Some(pooler.url()),
        ..Options::default()
    })
    .await;
    let client = deployment.client.clone();
    let id = client.place(&order(), None).await.expect(201).id();
    client.reaches(id, "CONFIRMED").await;
    client.advance(id, "PREPARING", &[]).await.expect(200);
    deployment.order.signal("TERM");
    let status = deployment.order.exit(crate::support::wait::LONG).await;
    assert!(status.expect("it stops").success());
    deployment.order.restart(None).await;
    client.advance(id, "IN_TRANSIT", &[]).await.expect(200);
}

#[tokio::test]
async fn a_pooler_of_transactions_is_refused_in_one_line() {
    let tag = fresh_tag();
    let mut databases = Databases::on(&environment::postgres());
    let name = format!("{tag}_orders");
    databases.create(&name).await;
    for mode in ["transaction", "statement"] {
        let pooler = pooler(mode).await;
        let url = format!("{}/{name}", pooler.url());
        let variables = [
            ("TRACKOPS_ORDERS_DATABASE_URL", url.clone()),
            ("TRACKOPS_INVENTORY_DATABASE_URL", url.clone()),
            ("TRACKOPS_REDIS_URL", environment::redis()),
            ("TRACKOPS_KAFKA_BROKERS", environment::kafka()),
            ("TRACKOPS_LISTEN", "127.0.0.1:0".into()),
            ("TRACKOPS_MANAGEMENT_LISTEN", "127.0.0.1:0".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        for role in ["migrate", "order", "inventory", "relay"] {
            let (status, said) = run_to_end(&[role], &variables).await;
            assert!(!status.success(), "{role}: {said}");
            let advice = said
                .lines()
                .filter(|line| line.contains("pool_mode = session"));
            assert_eq!(advice.count(), 1, "{role} {mode}: {said}");
        }
    }
}
