//! The suites on PostgreSQL, and what only PostgreSQL has: locks between sessions, plans, schemas.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use trackops::model::outbox_row::RowId;
use trackops::ports::access::AccessStore;
use trackops::ports::journal::Journal;
use trackops::ports::journal::RowOutcome::Committed;
use trackops::ports::outbox::{OUTBOX_LANES, Outbox};
use trackops::ports::retention::Retention;
use trackops::ports::sagas::Sagas;
use trackops::ports::stock::StockStore;
use trackops::postgres::{Database, Kind, Settings, migrate};
use trackops_cluster::ShardCount;
use trackops_cluster::membership::Membership;
use trackops_domain::event::Change;
use uuid::Uuid;

use super::access::{AccessFixture, access_suite};
use super::journal::journal_suite;
use super::membership::{lease_suite, ownership_suite};
use super::outbox::{outbox_suite, rows_of};
use super::retention::{ForgetfulOrders, ForgetfulStock, retention_suite};
use super::sagas::{SagasFixture, sagas_suite};
use super::stock::{StockFixture, stock_suite};
use super::support::{OrdersFixture, Owned, ShardsFixture, StoredFixture, changed, new_order};

journal_suite!(journal, PgOrders);
ownership_suite!(ownership, PgOrders);
lease_suite!(leases, PgOrders);
outbox_suite!(outbox, PgOrders);
stock_suite!(stock, PgInventory);
retention_suite!(retention, PgOrders, PgInventory);
sagas_suite!(sagas, PgOrders);
access_suite!(access, PgOrders);

/// A database of a random name, removed with it.
pub struct TestDatabase {
    pub url: String,
    server: String,
    name: String,
}

impl TestDatabase {
    /// A name and an address; nothing is made yet.
    pub fn reserve() -> Self {
        let server = std::env::var("TRACKOPS_TEST_POSTGRES_URL").expect(
            "TRACKOPS_TEST_POSTGRES_URL must name a PostgreSQL server (a superuser's URL without \
             database); `cargo xtask test` sets it",
        );
        let server = server.trim_end_matches('/').to_owned();
        let name = format!("trackops_test_{}", Uuid::new_v4().simple());
        Self {
            url: format!("{server}/{name}"),
            server,
            name,
        }
    }

    /// Makes it, with everything in it.
    pub async fn migrated(kind: Kind) -> Self {
        let database = Self::reserve();
        migrate(&database.url, kind, true, ShardCount::DEFAULT)
            .await
            .unwrap();
        database
    }

    pub fn open(&self, kind: Kind) -> Database {
        Database::open(&self.url, kind, Settings::default()).unwrap()
    }

    /// A session of the test's own.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = AssertSqlSafe(format!(
            "DROP DATABASE IF EXISTS {} WITH (FORCE)",
            self.name
        ));
        let server = format!("{}/postgres", self.server);
        // On a thread of its own, because a runtime can't be entered twice.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut session = PgConnection::connect(&server).await?;
                session.execute(drop).await
            })
        });
        if let Ok(Err(error)) = thread.join() {
            eprintln!("{} is left behind: {error}", self.name);
        }
    }
}

/// A fresh orders' database.
pub struct PgOrders {
    pub database: TestDatabase,
    open: Database,
}

#[async_trait]
impl ShardsFixture for PgOrders {
    async fn fresh() -> Self {
        let database = TestDatabase::migrated(Kind::Orders).await;
        let open = database.open(Kind::Orders);
        Self { database, open }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.open.journal())
    }

    fn membership(&self) -> Arc<dyn Membership> {
        Arc::new(self.open.membership())
    }
}

impl SagasFixture for PgOrders {
    fn sagas(&self) -> Arc<dyn Sagas> {
        Arc::new(self.open.sagas())
    }
}

impl AccessFixture for PgOrders {
    fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(self.open.access())
    }
}

impl OrdersFixture for PgOrders {
    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.open.outbox())
    }
}

impl ForgetfulOrders for PgOrders {
    fn retention(&self) -> Arc<dyn Retention> {
        Arc::new(self.open.retention())
    }
}

#[async_trait]
impl StoredFixture for PgOrders {
    async fn change(&self, table: &str, row: RowId, change: &str) {
        let (lane, seq) = (row.lane, row.seq);
        let sql = format!("UPDATE {table} SET {change} WHERE lane = {lane} AND seq = {seq}");
        let changed = self
            .database
            .session()
            .await
            .execute(AssertSqlSafe(sql))
            .await;
        assert_eq!(changed.unwrap().rows_affected(), 1);
    }
}

/// A fresh inventory's database. Fields are dropped in order: the database goes last.
pub struct PgInventory {
    open: Database,
    pub database: TestDatabase,
}

impl ForgetfulStock for PgInventory {
    fn retention(&self) -> Arc<dyn Retention> {
        Arc::new(self.open.retention())
    }
}

#[async_trait]
impl StockFixture for PgInventory {
    async fn fresh() -> Self {
        let database = TestDatabase::migrated(Kind::Inventory).await;
        let open = database.open(Kind::Inventory);
        Self { open, database }
    }

    fn stock(&self) -> Arc<dyn StockStore> {
        Arc::new(self.open.stock())
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.open.outbox())
    }
}

/// The versions of an order go by whatever connection is free, each of which has drawn numbers before: a
/// fetch that ends in the middle of a lane has no version without those before it.
#[tokio::test]
async fn a_fetch_gives_no_version_without_those_before_it() {
    let db = Owned::<PgOrders>::fresh().await;
    let settings = Settings {
        append_connections: 1,
        ..Settings::default()
    };
    let open = || Database::open(&db.fixture.database.url, Kind::Orders, settings).unwrap();
    let (one, other) = (open().journal(), open().journal());
    for journal in [&one, &other] {
        let rows = [db.creation(&new_order())];
        assert_eq!(journal.append(&rows).await.unwrap(), [Committed]);
    }
    let placed = new_order();
    let rows = [db.creation(&placed)];
    assert_eq!(other.append(&rows).await.unwrap(), [Committed]);
    let confirmed = changed(&placed.0, Change::Confirmed);
    let rows = [db.step(&placed.0, &confirmed)];
    assert_eq!(one.append(&rows).await.unwrap(), [Committed]);

    let outbox = db.fixture.outbox();
    let mut seen = 0;
    for lane in 0..OUTBOX_LANES {
        for limit in 1..=4 {
            let rows = rows_of(&*outbox, &[lane], limit).await;
            let versions = rows.iter().filter(|row| row.order == placed.0.id);
            let versions: Vec<u32> = versions.map(|row| row.row.version).collect();
            assert!([1, 2].starts_with(&versions), "{limit} rows: {versions:?}");
            seen = seen.max(versions.len());
        }
    }
    assert_eq!(seen, 2);
}

/// Several processes on one database remove old rows once between them.
#[tokio::test]
async fn the_turn_to_prune_is_taken_once() {
    let database = TestDatabase::migrated(Kind::Inventory).await;
    let (one, other) = (
        database.open(Kind::Inventory),
        database.open(Kind::Inventory),
    );
    let day = std::time::Duration::from_hours(24);
    let taken = [
        one.retention().take_turn(day).await.unwrap(),
        other.retention().take_turn(day).await.unwrap(),
        one.retention().take_turn(day).await.unwrap(),
        other
            .retention()
            .take_turn(std::time::Duration::ZERO)
            .await
            .unwrap(),
    ];
    assert_eq!(taken, [true, false, false, true]);
}
