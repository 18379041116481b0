//! What only PostgreSQL's outbox can get wrong: numbers that are drawn before their rows are visible, dead
//! rows that a long snapshot keeps, and statements that their client has given up.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use trackops::model::outbox_row::RowId;
use trackops::ports::outbox::{Fetched, OUTBOX_LANES, Outbox, OutboxLanePosition, Wanted};
use trackops::postgres::{Database, Kind, Settings};

use super::postgres::TestDatabase;

/// Inserts as an append does: by one statement, each row under a number of its own.
async fn insert(session: &mut PgConnection, rows: u32) {
    let sql = format!(
        "INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
         SELECT n % 8, 1, 0, now(), gen_random_uuid(), gen_random_uuid(), 'ORDER_CREATED', '{{}}'
         FROM generate_series(1, {rows}) n"
    );
    session.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// A relay that has published at once whatever it was given.
struct Reader {
    outbox: Arc<dyn Outbox>,
    lanes: Vec<OutboxLanePosition>,
    arrived: Vec<RowId>,
}

impl Reader {
    fn new(outbox: impl Outbox) -> Self {
        Self {
            outbox: Arc::new(outbox),
            lanes: (0..OUTBOX_LANES).map(OutboxLanePosition::start).collect(),
            arrived: Vec::new(),
        }
    }

    /// Removes what the last fetch gave, and fetches.
    async fn exchange(&mut self) -> usize {
        let wanted = Wanted {
            lanes: self.lanes.clone(),
            except: self.arrived.clone(),
            rows_max: 2000,
            bytes_max: 8 << 20,
        };
        let Fetched { rows, next, .. } =
            self.outbox.exchange(&self.arrived, &wanted).await.unwrap();
        self.lanes = next;
        self.arrived = rows.into_iter().map(|row| row.unwrap().row_id).collect();
        self.arrived.len()
    }

    /// The number from which the lane that is furthest behind is read on.
    fn lowest(&self) -> i64 {
        self.lanes.iter().map(|lane| lane.after).min().unwrap()
    }
}

/// A transaction that has drawn a number and takes its time: whatever is inserted, read and removed
/// meanwhile, its row is not passed by.
#[tokio::test]
async fn a_row_that_is_committed_late_is_read() {
    let database = TestDatabase::migrated(Kind::Inventory).await;
    let mut reader = Reader::new(database.open(Kind::Inventory).outbox());
    let (mut slow, mut others) = (database.session().await, database.session().await);
    insert(&mut others, 10).await;
    assert_eq!(reader.exchange().await, 10);
    slow.execute("BEGIN").await.unwrap();
    insert(&mut slow, 1).await;
    for _ in 0..6 {
        insert(&mut others, 1000).await;
        assert_eq!(reader.exchange().await, 1000);
    }
    assert!(reader.lowest() < 11, "read on from {}", reader.lowest());
    slow.execute("COMMIT").await.unwrap();
    assert_eq!(reader.exchange().await, 1);
    assert_eq!(reader.arrived[0].seq, 11);
    // Now nothing holds it back any more.
    for _ in 0..3 {
        insert(&mut others, 1000).await;
        reader.exchange().await;
    }
    assert!(reader.lowest() > 7000, "read on from {}", reader.lowest());
}

/// A snapshot that is kept for long keeps every dead row, and so does a transaction that has written
/// something and idles. A fetch doesn't walk them.
#[tokio::test]
async fn dead_rows_under_a_long_snapshot_are_not_walked() {
    let database = TestDatabase::migrated(Kind::Inventory).await;
    let mut reader = Reader::new(database.open(Kind::Inventory).outbox());
    let mut dump = database.session().await;
    dump.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM outbox")
        .await
        .unwrap();
    let mut idle = database.session().await;
    idle.execute("CREATE TABLE notes (n integer); BEGIN; INSERT INTO notes VALUES (1)")
        .await
        .unwrap();
    let mut others = database.session().await;
    for n in 1..=40_i64 {
        insert(&mut others, 1000).await;
        assert_eq!(reader.exchange().await, 1000);
        let behind = n * 1000 - reader.lowest();
        assert!(behind <= 3000, "{behind} rows are walked after {n} rounds");
    }
    assert_eq!(reader.exchange().await, 0);
    dump.execute("COMMIT").await.unwrap();
    idle.execute("COMMIT").await.unwrap();
}

/// A removal that waits for a lock is given up by its client; the server ends it too, so that the retry
/// doesn't queue up behind it.
#[tokio::test]
async fn what_the_client_gives_up_ends_in_the_server() {
    let database = TestDatabase::migrated(Kind::Inventory).await;
    let settings = Settings {
        read: Duration::from_secs(1),
        ..Settings::default()
    };
    let open = Database::open(&database.url, Kind::Inventory, settings).unwrap();
    let mut reader = Reader::new(open.outbox());
    let mut holder = database.session().await;
    insert(&mut holder, 8).await;
    assert_eq!(reader.exchange().await, 8);
    holder
        .execute("BEGIN; SELECT FROM outbox FOR UPDATE")
        .await
        .unwrap();
    let mut observer = database.session().await;
    for _ in 0..3 {
        let wanted = Wanted::default();
        let refused = reader.outbox.exchange(&reader.arrived, &wanted).await;
        refused.unwrap_err();
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut observer)
        .await
        .unwrap();
        assert_eq!(waiting, 0, "it goes on in the server");
    }
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(reader.exchange().await, 0);
}
