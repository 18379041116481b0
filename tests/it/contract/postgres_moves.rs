//! What only PostgreSQL has: a take-over that waits for an append.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use sqlx::Executor as _;
use trackops::ports::journal::RowOutcome;
use trackops_domain::event::Change;

use super::membership::node;
use super::postgres::PgOrders;
use super::postgres_locks::{hold, placed, waiting};
use super::support::{LEASE, Owned, ShardsFixture as _, changed};

#[tokio::test]
async fn a_take_over_waits_for_an_append_and_fences_the_next() {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let (order, row) = placed(&db).await;
    let offer = [(row.shard, row.epoch)];
    let mut watch = db.fixture.database.session().await;
    hold(&mut session, &order).await;
    let journal = db.fixture.journal();
    let append = tokio::spawn(async move { journal.append(&[row]).await });
    waiting(&mut watch, "%append_orders%", 1).await;

    let membership = db.fixture.membership();
    let b = node("b");
    let its = membership.join(&b, "x:2", LEASE).await.unwrap();
    let giver = (db.node.clone(), db.incarnation);
    let take = tokio::spawn(async move {
        let from = (&giver.0, giver.1);
        membership.take_over(&b, its, from, &offer).await
    });
    waiting(&mut watch, "%take_over_shards%", 1).await;
    assert!(!append.is_finished() && !take.is_finished());

    session.execute("ROLLBACK").await.unwrap();
    let outcome = append.await.unwrap().unwrap();
    assert_eq!(outcome, [RowOutcome::Committed], "it held the lock first");
    assert_eq!(take.await.unwrap().unwrap().len(), 1);
    let loaded = db.fixture.journal().load(&[order.id]).await.unwrap();
    let confirmed = loaded[0].clone().unwrap();
    let next = db.step(
        &confirmed,
        &changed(&confirmed, Change::Preparing { courier: None }),
    );
    let outcome = db.fixture.journal().append(&[next]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Fenced]);
}
