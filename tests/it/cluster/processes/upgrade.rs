//! A newer version's `trackops migrate` under a running system of this version.

use sqlx::{Connection as _, Executor as _};

use super::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::databases::connect;

#[tokio::test]
async fn roles_stay_ready_and_start_again_beside_a_newer_schema() {
    let mut fleet = Fleet::start(2, Plan::default()).await;
    for url in [
        &fleet.deployment.orders_url,
        &fleet.deployment.inventory_url,
    ] {
        let mut session = connect(url).await;
        let later = "INSERT INTO _sqlx_migrations SELECT 99, 'later', now(), true, '', 0";
        session.execute(later).await.expect("insert");
        session.close().await.expect("close");
    }
    let client = fleet.deployment.client.clone();
    let managements: Vec<String> = {
        let other = fleet.replica(1).launch.management.clone();
        let roles = fleet.deployment.roles();
        let own = roles.into_iter().map(|role| role.launch.management.clone());
        own.chain([other]).collect()
    };
    let is_degraded = async || {
        for management in &managements {
            let answer = client.fetch(&format!("{management}/readyz")).await;
            let answer = answer.expect(200);
            assert_eq!(answer.body["status"], "degraded", "{answer:?}");
            let says_why = answer.body.to_string().contains("migration 99");
            assert!(says_why, "{answer:?}");
        }
    };
    is_degraded().await;
    fleet.replica(1).kill();
    fleet.replica(1).restart(None).await;
    for role in fleet.deployment.roles() {
        role.kill();
        role.restart(None).await;
    }
    is_degraded().await;
    let placed = client.place(&order(), None).await.expect(201);
    client.reaches(placed.id(), "CONFIRMED").await;
}
