//! What only PostgreSQL's stock has: rows that others have spoiled, an older version beside this one, and
//! what a batch reads.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use sqlx::{Executor as _, PgConnection};
use trackops::ports::stock::StockOutcome::{self, Applied, Unreadable};
use trackops_domain::stock::Reservation::{Held, Released};

use super::postgres::PgInventory;
use super::stock::{NOW, level, new_order, release, reserve, set, sku, stocked};

/// What this version and the one before it send for levels; both must raise the version.
const OLD_UPDATE: &str = "
    UPDATE items SET on_hand = new.on_hand, reserved = new.reserved
    FROM unnest('{A}'::text[], '{7}'::bigint[], '{0}'::bigint[]) AS new(sku, on_hand, reserved)
    WHERE items.sku = new.sku";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_cannot_be_read_fails_alone() {
    let (fixture, stock) = stocked::<PgInventory>(&[("A", 9)]).await;
    let mut session = fixture.database.session().await;
    let orders: Vec<_> = (0..5).map(|_| new_order()).collect();
    let batch: Vec<_> = orders.iter().map(|o| reserve(*o, &[("A", 1)])).collect();
    stock.apply(&batch, NOW).await.unwrap();
    for (order, change) in [
        (orders[1], "state = 'FROM_LATER'"),
        (orders[2], "items = '{\"A\": 1}'"),
        (orders[3], "items = '[[\"no sku\", 1]]'"),
    ] {
        let spoil = format!("UPDATE reservations SET {change} WHERE order_id = '{order}'");
        session.execute(sqlx::AssertSqlSafe(spoil)).await.unwrap();
    }
    let batch: Vec<_> = orders.iter().map(|order| release(*order)).collect();
    let outcomes = stock.apply(&batch, NOW).await.unwrap();
    let is_unreadable = |outcome: &StockOutcome| matches!(outcome, Unreadable(why) if why.contains("can't be read: "));
    let spoilt: Vec<bool> = outcomes.iter().map(is_unreadable).collect();
    assert_eq!(spoilt, [false, true, true, true, false], "{outcomes:?}");
    assert_eq!(outcomes[0], Applied(Released));
    assert_eq!(level(&*stock, "A").await, (9, 3));
    let next = [reserve(new_order(), &[("A", 6)])];
    assert_eq!(stock.apply(&next, NOW).await.unwrap(), [Applied(Held)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_raises_the_version_too() {
    let (fixture, stock) = stocked::<PgInventory>(&[("A", 5)]).await;
    let mut session = fixture.database.session().await;
    session.execute(OLD_UPDATE).await.unwrap();
    let item = stock.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.level.on_hand, item.version), (7, 2));
    // An older version's key of a quantity is taken for no adjustment, nor the other way round.
    stock
        .adjust(&sku("A"), 1, "found", Some("k"))
        .await
        .unwrap();
    let kept: (String, i64) = sqlx::query_as("SELECT sku, on_hand FROM stock_keys")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(kept, ("A".into(), -1));
    session
        .execute("UPDATE stock_keys SET on_hand = 8, adjustment = NULL, reserved = NULL")
        .await
        .unwrap();
    let (item, known) = set(&*stock, "A", 8, Some("k")).await.unwrap();
    assert!(known);
    assert_eq!((item.level.on_hand, item.version), (8, 3));
}

/// Plans are made once a connection, while the tables are empty and analyzed; then they fill. A batch reads
/// what it touches and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_reads_only_what_it_touches() {
    let (fixture, stock) = stocked::<PgInventory>(&[("A", 1_000_000), ("B", 1_000_000)]).await;
    let mut session = fixture.database.session().await;
    session.execute("ANALYZE").await.unwrap();
    let orders: Vec<_> = (0..100).map(|_| new_order()).collect();
    let batch = |count| {
        let wanted = [("A", 1), ("B", 1)];
        let asked: Vec<_> = orders[..count]
            .iter()
            .map(|o| reserve(*o, &wanted))
            .collect();
        asked
    };
    // Often enough for a plan that is kept.
    for _ in 0..8 {
        stock.apply(&batch(1), NOW).await.unwrap();
    }
    session
        .execute(
            "INSERT INTO items (sku, on_hand) SELECT 'X' || n, n FROM generate_series(1, 20000) n;
             INSERT INTO reservations (order_id, state, items, updated_at)
             SELECT gen_random_uuid(), 'RESERVED', '[]', now() FROM generate_series(1, 20000);",
        )
        .await
        .unwrap();
    for state in ["burst", "analyzed"] {
        let before = rows_read(&mut session).await;
        stock.apply(&batch(100), NOW).await.unwrap();
        let releases: Vec<_> = orders.iter().map(|order| release(*order)).collect();
        stock.apply(&releases, NOW).await.unwrap();
        let read = rows_read(&mut session).await - before;
        assert!(read < 2_000, "{state}: {read} rows for 200 requests");
        session.execute("ANALYZE").await.unwrap();
    }
}

/// Rows that scans and indexes have given so far, once every connection has said so.
async fn rows_read(session: &mut PgConnection) -> i64 {
    const READ: &str = "
        SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
        FROM pg_stat_user_tables WHERE relname IN ('items', 'reservations')";
    // A connection tells what it has read when it has been idle for a second, at the latest after ten.
    let mut last = -1;
    let mut since = tokio::time::Instant::now();
    while since.elapsed() < std::time::Duration::from_secs(11) {
        let read: i64 = sqlx::query_scalar(READ)
            .fetch_one(&mut *session)
            .await
            .unwrap();
        if read != last {
            (last, since) = (read, tokio::time::Instant::now());
        }
        // Another process counts, and can't signal us.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    last
}
