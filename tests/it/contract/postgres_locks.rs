//! What only PostgreSQL has: sessions that wait for each other or are ended, and databases that are
//! not migrated.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;
use trackops::ports::journal::{AppendError, AppendRow, Journal as _, JournalError, RowOutcome};
use trackops::postgres::{Database, Kind, MigrateError, PgJournal, SchemaState, Settings, migrate};
use trackops_cluster::ShardCount;
use trackops_cluster::membership::{Membership as _, MembershipError, NodeId};
use trackops_domain::event::Change;
use trackops_domain::order::Order;

use super::postgres::{PgOrders, TestDatabase};
use super::support::{LEASE, Owned, ShardsFixture as _, changed, new_order, seen};

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A placed order, and the row that confirms it.
pub async fn placed(db: &Owned<PgOrders>) -> (Order, AppendRow) {
    let new = new_order();
    let journal = db.fixture.journal();
    journal.append(&[db.creation(&new)]).await.unwrap();
    let row = db.step(&new.0, &changed(&new.0, Change::Confirmed));
    (new.0, row)
}

/// Locks the row of `order`, so that whatever changes it hangs until the transaction ends.
pub async fn hold(session: &mut PgConnection, order: &Order) {
    session.execute("BEGIN").await.unwrap();
    sqlx::query("SELECT id FROM orders WHERE id = $1 FOR UPDATE")
        .bind(order.id.0)
        .execute(session)
        .await
        .unwrap();
}

/// Waits until `count` sessions of the database wait for a lock in a statement like `pattern`;
/// their process ids. Not from within a transaction: that sees the activity of its first look.
pub async fn waiting(session: &mut PgConnection, pattern: &str, count: usize) -> Vec<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pids: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
             AND wait_event_type = 'Lock' AND query LIKE $1 AND pid <> pg_backend_pid()",
        )
        .bind(pattern)
        .fetch_all(&mut *session)
        .await
        .unwrap();
        if pids.len() >= count {
            return pids;
        }
        assert!(Instant::now() < deadline, "nothing waits in {pattern}");
        // Between two looks.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Ends the held append of `row` by `how` and returns what the append says.
async fn append_ended_by(how: &str) -> (Owned<PgOrders>, Order, AppendError) {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let (order, row) = placed(&db).await;
    let mut watch = db.fixture.database.session().await;
    hold(&mut session, &order).await;
    let journal = db.fixture.journal();
    let append = tokio::spawn(async move { journal.append(&[row]).await });
    let pids = waiting(&mut watch, "%append_orders%", 1).await;
    sqlx::query(AssertSqlSafe(format!("SELECT {how}($1)")))
        .bind(pids[0])
        .execute(&mut session)
        .await
        .unwrap();
    let error = append.await.unwrap().unwrap_err();
    (db, order, error)
}

#[tokio::test]
async fn a_claim_waits_for_an_append_and_fences_the_next() {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let (order, row) = placed(&db).await;
    let shard = row.shard;
    let mut watch = db.fixture.database.session().await;
    hold(&mut session, &order).await;
    let journal = db.fixture.journal();
    let append = tokio::spawn(async move { journal.append(&[row]).await });
    waiting(&mut watch, "%append_orders%", 1).await;

    let membership = db.fixture.membership();
    let (node, incarnation) = (db.node.clone(), db.incarnation);
    let wanted = [(shard, db.epochs[&shard])];
    let claim = tokio::spawn(async move { membership.claim(&node, incarnation, &wanted).await });
    waiting(&mut watch, "%claim_shards_seen%", 1).await;
    // An append to another shard is not in the way of either.
    let elsewhere = std::iter::repeat_with(new_order)
        .find(|new| db.creation(new).shard != shard)
        .unwrap();
    let rows = [db.creation(&elsewhere)];
    let outcome = db.fixture.journal().append(&rows).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
    assert!(!append.is_finished() && !claim.is_finished());

    session.execute("ROLLBACK").await.unwrap();
    let outcome = append.await.unwrap().unwrap();
    assert_eq!(outcome, [RowOutcome::Committed], "it held the lock first");
    let claimed = claim.await.unwrap().unwrap();
    assert!(claimed[0].epoch > db.epochs[&shard]);
    let loaded = db.fixture.journal().load(&[order.id]).await.unwrap();
    let confirmed = loaded[0].clone().unwrap();
    let next = db.step(
        &confirmed,
        &changed(&confirmed, Change::Preparing { courier: None }),
    );
    let outcome = db.fixture.journal().append(&[next]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Fenced]);
}

#[tokio::test]
async fn an_append_waits_for_a_claim_and_reads_its_epoch() {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let (_, row) = placed(&db).await;
    // A claim under way: it has its lock and raised the epoch, and is not committed yet.
    session.execute("BEGIN").await.unwrap();
    sqlx::query("SELECT claim_shards_seen($1, $2, ARRAY[$3::smallint], ARRAY[$4::bigint])")
        .bind(&db.node.0)
        .bind(db.incarnation.0)
        .bind(i16::try_from(row.shard.0).unwrap())
        .bind(row.epoch.0)
        .execute(&mut session)
        .await
        .unwrap();
    let journal = db.fixture.journal();
    let append = tokio::spawn(async move { journal.append(&[row]).await });
    let mut watch = db.fixture.database.session().await;
    waiting(&mut watch, "%append_orders%", 1).await;
    session.execute("COMMIT").await.unwrap();
    assert_eq!(append.await.unwrap().unwrap(), [RowOutcome::Fenced]);
}

#[tokio::test]
async fn a_claim_sees_a_renewal_under_way() {
    let db = Owned::<PgOrders>::fresh().await;
    let membership = db.fixture.membership();
    let heir = NodeId("heir".into());
    let its = membership.join(&heir, "x:1", LEASE).await.unwrap();
    let mut session = db.fixture.database.session().await;
    session
        .execute("UPDATE nodes SET lease_until = clock_timestamp() WHERE node = 'node-a'")
        .await
        .unwrap();
    session.execute("BEGIN").await.unwrap();
    session
        .execute("UPDATE nodes SET lease_until = 'infinity' WHERE node = 'node-a'")
        .await
        .unwrap();
    let shards = seen(&*membership).await;
    let claim = tokio::spawn(async move { membership.claim(&heir, its, &shards).await });
    let mut watch = db.fixture.database.session().await;
    waiting(&mut watch, "%claim_shards_seen%", 1).await;
    session.execute("COMMIT").await.unwrap();
    assert_eq!(claim.await.unwrap().unwrap(), [], "the owner is alive");
}

#[tokio::test]
async fn a_lease_found_ended_is_over_though_the_clock_were_set_back() {
    let db = Owned::<PgOrders>::fresh().await;
    let membership = db.fixture.membership();
    let heir = NodeId("heir".into());
    let its = membership.join(&heir, "x:1", LEASE).await.unwrap();
    let mut session = db.fixture.database.session().await;
    session
        .execute("UPDATE nodes SET lease_until = clock_timestamp() WHERE node = 'node-a'")
        .await
        .unwrap();
    let shards = seen(&*membership).await;
    let claimed = membership.claim(&heir, its, &shards).await.unwrap();
    assert_eq!(claimed.len(), shards.len());
    let until: bool =
        sqlx::query_scalar("SELECT lease_until = '-infinity' FROM nodes WHERE node = 'node-a'")
            .fetch_one(&mut session)
            .await
            .unwrap();
    assert!(
        until,
        "a renewal that waits for the claim must find it ended"
    );
    let renewed = membership.renew(&db.node, db.incarnation, LEASE).await;
    assert!(matches!(renewed, Err(MembershipError::Deposed)));
}

#[tokio::test]
async fn a_connection_lost_during_an_append_leaves_its_outcome_unknown() {
    let (db, order, error) = append_ended_by("pg_terminate_backend").await;
    assert!(matches!(error, AppendError::Unknown(_)), "{error:?}");
    // The next one gets a new connection.
    let rows = [db.creation(&new_order())];
    let outcome = db.fixture.journal().append(&rows).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
    let loaded = db.fixture.journal().load(&[order.id]).await.unwrap();
    assert_eq!(loaded, [Some(order)]);
}

#[tokio::test]
async fn a_cancelled_append_did_not_happen() {
    let (_db, _, error) = append_ended_by("pg_cancel_backend").await;
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
}

/// Waits until no session of the database works on a statement like `pattern`.
async fn until_none_works_on(session: &mut PgConnection, pattern: &str, limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND state = 'active' AND query LIKE $1 AND pid <> pg_backend_pid()",
        )
        .bind(pattern)
        .fetch_one(&mut *session)
        .await
        .unwrap();
        if count == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{count} work on {pattern} still");
        // Between two looks.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_append_that_hangs_is_ended_by_the_server_and_did_not_happen() {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let mut watch = db.fixture.database.session().await;
    let (order, row) = placed(&db).await;
    hold(&mut session, &order).await;
    let settings = Settings {
        append_connections: 1,
        // Ample for the second append on a busy machine.
        write: Duration::from_secs(2),
        ..Settings::default()
    };
    let url = &db.fixture.database.url;
    let journal = Arc::new(journal_at(url, settings));
    let hung = journal.append(&[row]).await.unwrap_err();
    assert!(matches!(hung, AppendError::Unavailable(_)), "{hung:?}");
    until_none_works_on(&mut watch, "%append_orders%", Duration::ZERO).await;
    // It doesn't keep its place.
    let rows = [db.creation(&new_order())];
    let outcome = journal.append(&rows).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
}

/// How soon a server notices that nobody waits for a statement any more; half a second and what a busy
/// machine adds.
const LEFT_ALONE_MAX: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_statement_whose_caller_has_left_ends_in_the_server() {
    let db = Owned::<PgOrders>::fresh().await;
    let mut session = db.fixture.database.session().await;
    let mut watch = db.fixture.database.session().await;
    let (order, row) = placed(&db).await;
    hold(&mut session, &order).await;
    let journal = db.fixture.journal();
    let append = tokio::spawn(async move { journal.append(&[row]).await });
    waiting(&mut watch, "%append_orders%", 1).await;
    append.abort();
    until_none_works_on(&mut watch, "%append_orders%", LEFT_ALONE_MAX).await;
}

/// The server says so, as a standby would; then nothing that led there is used any more.
#[tokio::test]
async fn a_read_only_database_says_so_and_is_left() {
    let db = Owned::<PgOrders>::fresh().await;
    let open = db.fixture.database.open(Kind::Orders);
    let (journal, membership) = (open.journal(), open.membership());
    journal.append(&[db.creation(&new_order())]).await.unwrap();
    assert_eq!(open.schema_state().await.unwrap(), SchemaState::Migrated);

    // For sessions to come, which is what a failover comes to; those of before are ended.
    let mut admin = db.fixture.database.session().await;
    let read_only = async |admin: &mut PgConnection, value: &str| {
        let sql = "DO $$ BEGIN EXECUTE format(
            'ALTER DATABASE %I SET default_transaction_read_only = ";
        let sql = format!("{sql}{value}', current_database()); END $$");
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    };
    read_only(&mut admin, "on").await;
    admin
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    let mut refused = journal.append(&[db.creation(&new_order())]).await;
    if matches!(refused, Err(AppendError::Unknown(_))) {
        // The connection that was ended.
        refused = journal.append(&[db.creation(&new_order())]).await;
    }
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(open.schema_state().await.unwrap(), SchemaState::ReadOnly);
    let renewed = membership.renew(&db.node, db.incarnation, LEASE).await;
    assert!(matches!(renewed, Err(MembershipError::Unavailable(_))));

    read_only(&mut admin, "off").await;
    // The refusals have ended every connection, and each is made anew.
    assert_eq!(open.schema_state().await.unwrap(), SchemaState::Migrated);
    let outcome = journal.append(&[db.creation(&new_order())]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
    membership
        .renew(&db.node, db.incarnation, LEASE)
        .await
        .unwrap();
}

fn journal_at(url: &str, settings: Settings) -> PgJournal {
    Database::open(url, Kind::Orders, settings)
        .unwrap()
        .journal()
}

#[tokio::test]
async fn a_server_that_is_away_says_that_nothing_happened() {
    let db = Owned::<PgOrders>::fresh().await;
    // Nobody listens on the discard port.
    let journal = journal_at("postgres://nobody@127.0.0.1:9/none", Settings::default());
    let append = journal.append(&[db.creation(&new_order())]).await;
    assert!(matches!(append, Err(AppendError::Unavailable(_))));
    let ping = journal.ping().await;
    assert!(matches!(ping, Err(JournalError::Unavailable(_))));
}

#[tokio::test]
async fn idle_connections_of_a_restarted_server_are_not_trusted() {
    let db = Owned::<PgOrders>::fresh().await;
    let journal = db.fixture.journal();
    journal.append(&[db.creation(&new_order())]).await.unwrap();
    let mut session = db.fixture.database.session().await;
    session
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    // Longer than a connection is trusted without a look.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let outcome = journal.append(&[db.creation(&new_order())]).await.unwrap();
    assert_eq!(outcome, [RowOutcome::Committed]);
}

#[tokio::test]
async fn one_of_two_placings_of_an_id_wins() {
    let db = Arc::new(Owned::<PgOrders>::fresh().await);
    for _ in 0..20 {
        let (a, mut b) = (new_order(), new_order());
        b.0.id = a.0.id;
        b.1.order = a.0.id;
        let journal = db.fixture.journal();
        let (row_a, row_b) = ([db.creation(&a)], [db.creation(&b)]);
        let (a, b) = tokio::join!(journal.append(&row_a), journal.append(&row_b));
        let mut outcomes = [a.unwrap()[0], b.unwrap()[0]];
        outcomes.sort_by_key(|outcome| *outcome == RowOutcome::Conflict);
        assert_eq!(outcomes, [RowOutcome::Committed, RowOutcome::Conflict]);
    }
}

#[tokio::test]
async fn a_database_says_whether_it_is_migrated() {
    for kind in [Kind::Orders, Kind::Inventory] {
        let database = TestDatabase::reserve();
        let open = database.open(kind);
        let state = async || open.schema_state().await.unwrap();
        assert_eq!(state().await, SchemaState::Missing, "no database");
        let few = ShardCount::new(16).unwrap();
        let refused = migrate(&database.url, kind, false, few).await;
        assert!(matches!(refused, Err(MigrateError::NoDatabase)));
        let made = migrate(&database.url, kind, true, few).await.unwrap();
        assert!(made.created);
        assert_eq!(state().await, SchemaState::Migrated);
        // Again, and with another number of shards: nothing changes.
        let again = migrate(&database.url, kind, true, ShardCount::DEFAULT).await;
        let again = again.unwrap();
        assert_eq!((again.created, again.shards), (false, made.shards));

        let mut session = database.session().await;
        let known: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut session)
            .await
            .unwrap();
        session
            .execute("INSERT INTO _sqlx_migrations SELECT 99, 'later', now(), true, '', 0")
            .await
            .unwrap();
        let ahead = SchemaState::Ahead { applied: 99, known };
        assert_eq!(state().await, ahead);
        let behind = SchemaState::Behind { applied: 1, known };
        // First a gap below the newest.
        for lacks in ["= 2", "> 1"] {
            let lose = format!("DELETE FROM _sqlx_migrations WHERE version {lacks}");
            session.execute(AssertSqlSafe(lose)).await.unwrap();
            assert_eq!(state().await, behind, "{lacks}");
        }
        session.close().await.unwrap();
    }
}

/// Runs another test of this binary with a fault point set; whether it passed.
fn passes_with(fault: &str, test: &str) -> bool {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("TRACKOPS_FAULT", fault)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("running 1 test"), "no such test: {test}");
    output.status.success()
}

#[test]
fn the_checks_go_red_when_fence_or_version_check_are_skipped() {
    let suite = module_path!().replace("postgres_locks", "postgres::journal");
    let suite = suite.split_once("::").unwrap().1;
    let fenced = format!("{suite}::rows_under_an_older_epoch_are_fenced_alone");
    let versions = format!("{suite}::an_append_on_another_version_conflicts");
    assert!(passes_with("", &fenced) && passes_with("", &versions));
    assert!(!passes_with("skip-fence", &fenced));
    assert!(!passes_with("skip-version-check", &versions));
}
