//! What only PostgreSQL's lists of shops have: a table of their own, which is kept right also for what a
//! version does that knows nothing of shops.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use sqlx::{Executor as _, PgConnection};
use trackops::ports::journal::{ListFilter, RowOutcome};
use trackops_domain::ids::{CustomerId, OrderId, ShopId};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::postgres::PgOrders;
use super::support::{Owned, ShardsFixture as _, new_order, new_order_for};

/// The append of the version before: the 35 parameters of 0003. It places one order and takes the step of
/// another.
const OLD_APPEND: &str = "
    SELECT created, updated FROM append_orders('{}', '{}',
        ARRAY[$1::uuid], '{0}', '{1}', '{PENDING}', ARRAY[$1::uuid], '{2026-01-31}', '{2026-01-31}', '{NULL}',
        ARRAY['{}'::json],
        ARRAY[$2::uuid], '{1}', '{2}', '{CONFIRMED}', '{2026-01-31}', '{NULL}',
        ARRAY[(SELECT saga FROM orders WHERE id = $2)],
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')";

/// Places an order of the shop, and returns its id.
async fn placed(db: &Owned<PgOrders>, shop: &ShopId) -> OrderId {
    let at = Timestamp(1_700_000_000_000);
    let new = new_order_for(CustomerId(Uuid::new_v4()), Some(shop.clone()), at);
    let outcome = db.fixture.journal().append(&[db.creation(&new)]).await;
    assert_eq!(outcome.unwrap(), [RowOutcome::Committed]);
    new.0.id
}

/// The rows for lists of shops.
async fn kept(session: &mut PgConnection) -> Vec<(Uuid, String, String)> {
    let rows = sqlx::query_as("SELECT id, shop, status FROM order_shops ORDER BY id");
    rows.fetch_all(session).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_moves_an_order_in_its_shops_list() {
    let db = Owned::<PgOrders>::fresh().await;
    let shop = ShopId::parse("north").unwrap();
    let order = placed(&db, &shop).await;
    let mut session = db.fixture.database.session().await;
    let (new, old) = (Uuid::now_v7(), order.0);
    let append = sqlx::query(OLD_APPEND).bind(new).bind(old);
    append.execute(&mut session).await.unwrap();
    assert_eq!(
        kept(&mut session).await,
        [(old, "north".into(), "CONFIRMED".into())]
    );
    for (status, count) in [(Status::Pending, 0), (Status::Confirmed, 1)] {
        let filter = ListFilter {
            shops: vec![shop.clone()],
            statuses: [status].into_iter().collect(),
            limit: 10,
            ..ListFilter::default()
        };
        let listed = db.fixture.journal().list(&filter).await.unwrap();
        assert_eq!(listed.len(), count, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_order_leaves_nothing_to_its_shop() {
    let db = Owned::<PgOrders>::fresh().await;
    let (north, south) = (ShopId::parse("north"), ShopId::parse("south"));
    let gone = placed(&db, &north.unwrap()).await;
    let stays = placed(&db, &south.unwrap()).await;
    let none = db.creation(&new_order());
    db.fixture.journal().append(&[none]).await.unwrap();
    let mut session = db.fixture.database.session().await;
    // As the retention of every version does it.
    let remove = sqlx::query("DELETE FROM orders WHERE id = $1").bind(gone.0);
    session.execute(remove).await.unwrap();
    assert_eq!(
        kept(&mut session).await,
        [(stays.0, "south".into(), "PENDING".into())]
    );
}
