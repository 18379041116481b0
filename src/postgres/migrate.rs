//! Brings the databases up to date, forwards only, and checks whether they are.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateDatabase as _, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Postgres, SqlSafeStr as _};
use thiserror::Error;
use tokio::time::Instant;
use trackops_cluster::ShardCount;

use super::connections::Connections;
use super::migrations::{Source, sources};
use super::pooler;
use super::settings::Kind;
use super::url::{self, OpenError};
use crate::ports::journal::BoxError;
use crate::telemetry::repeated::RepeatedLog;

/// How long a migration waits for the lock of a table in use. Requests for the table that come later wait
/// behind it, so this is how long a migration may hold up the writers.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '300ms'";
/// The pause before the next try, in which the writers pass.
const LOCK_RETRY: Duration = Duration::from_secs(1);
/// How long a migration tries: long enough for a dump or a long report to end.
const LOCK_PATIENCE: Duration = Duration::from_mins(30);

/// Whether a database has the schema that this program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The schema is up to date.
    Migrated,
    /// There is no such database, or none of our tables in it.
    Missing,
    /// It lacks a migration.
    Behind {
        /// The last migration that it has without a gap before it.
        applied: i64,
        /// The last that this program knows.
        known: i64,
    },
    /// The database takes no writes: the server is a standby, or was set to read-only.
    ReadOnly,
    /// A newer version has migrated it. Migrations only add, so this program works with it.
    Ahead {
        /// The last migration that it has.
        applied: i64,
        /// The last that this program knows.
        known: i64,
    },
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migrated => write!(f, "the database is up to date"),
            Self::Missing => write!(f, "the database isn't migrated: run `trackops migrate`"),
            Self::ReadOnly => write!(
                f,
                "the database is read-only: nothing can be written before it is not"
            ),
            Self::Behind { applied, known } => write!(
                f,
                "the database is at migration {applied} of {known}: run `trackops migrate`"
            ),
            Self::Ahead { applied, known } => write!(
                f,
                "the database is at migration {applied}, this program knows {known}: it is older \
                 than the database"
            ),
        }
    }
}

/// The outcome of [`migrate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Whether the database was created.
    pub created: bool,
    /// How many shards the orders' database has, which may differ from the number asked for; `None` for the
    /// inventory's.
    pub shards: Option<u16>,
}

/// Why a database could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The URL can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database doesn't exist and may not be created.
    #[error("the database doesn't exist")]
    NoDatabase,
    /// A pooler gives each transaction another session.
    #[error("{}", pooler::ADVICE)]
    NoSessions,
    /// The server can't be reached, or it refused.
    #[error("the database can't be reached or refused")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or one that was applied has changed since.
    #[error("the migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Brings the database at `url` up to date, and creates it if it doesn't exist and `may_create`. The orders'
/// database gets `shards` shards at its first migration; the number never changes later. Other users of the
/// database are held up only for moments.
pub async fn migrate(
    url: &str,
    kind: Kind,
    may_create: bool,
    shards: ShardCount,
) -> Result<Migrated, MigrateError> {
    let options = url::options(url)?;
    let created = match options.connect().await {
        Ok(_) => false,
        Err(error) if is_code(&error, "3D000") && may_create => create(url).await?,
        Err(error) if is_code(&error, "3D000") => return Err(MigrateError::NoDatabase),
        Err(error) => return Err(error.into()),
    };
    if !pooler::has_sessions(&options).await? {
        return Err(MigrateError::NoSessions);
    }
    let give_up = Instant::now() + LOCK_PATIENCE;
    let waits = RepeatedLog::new();
    loop {
        match bring_up_to_date(&options, kind, None, shards).await {
            Err(error) if error.is_of_locks() && Instant::now() < give_up => {
                if let Some(repeats) = waits.failed(Instant::now()) {
                    let (database, attempts) = (kind.as_str(), repeats.count);
                    tracing::warn!(
                        database,
                        attempts,
                        "waiting for a table that another session uses"
                    );
                }
            }
            shards => {
                let shards = shards?;
                return Ok(Migrated { created, shards });
            }
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

/// Makes one attempt, on a session of its own; only up to migration `target`, if it is given.
async fn bring_up_to_date(
    options: &PgConnectOptions,
    kind: Kind,
    target: Option<i64>,
    shards: ShardCount,
) -> Result<Option<u16>, MigrateError> {
    let mut connection = options.connect().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut connection).await?;
    // `run` is generic over anything that gives a connection, so the compiler can't tell that its future is
    // `Send`.
    migrator(kind)
        .run_direct(target, &mut connection, false)
        .await?;
    match kind {
        Kind::Orders => make_shards(&mut connection, shards).await.map(Some),
        Kind::Inventory => Ok(None),
    }
}

impl MigrateError {
    /// Whether another session's lock was in the way: nothing was done, and a retry may well succeed.
    fn is_of_locks(&self) -> bool {
        use sqlx::migrate::MigrateError as Of;
        let (Self::Database(error)
        | Self::Migration(Of::Execute(error) | Of::ExecuteMigration(error, _))) = self
        else {
            return false;
        };
        // Lock not granted in time; deadlock.
        is_code(error, "55P03") || is_code(error, "40P01")
    }
}

async fn create(url: &str) -> Result<bool, MigrateError> {
    match Postgres::create_database(url).await {
        Ok(()) => Ok(true),
        // Another process has just created it.
        Err(error) if is_code(&error, "42P04") || is_code(&error, "23505") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn make_shards(
    connection: &mut PgConnection,
    wanted: ShardCount,
) -> Result<u16, MigrateError> {
    // Once there are shards nobody adds more, so the lock, which would hold up their users, isn't taken.
    let made = count_shards(&mut *connection).await?;
    if made > 0 {
        return Ok(u16::try_from(made).unwrap_or(u16::MAX));
    }
    let mut transaction = sqlx::Connection::begin(connection).await?;
    sqlx::query("LOCK TABLE shards IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO shards (shard) SELECT generate_series(0, $1 - 1)
         WHERE NOT EXISTS (SELECT FROM shards)",
    )
    .bind(i32::from(wanted.get()))
    .execute(&mut *transaction)
    .await?;
    let count = count_shards(&mut transaction).await?;
    transaction.commit().await?;
    Ok(u16::try_from(count).unwrap_or(u16::MAX))
}

async fn count_shards(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM shards")
        .fetch_one(connection)
        .await
}

/// Compares the database's schema with the one that this program knows. `has_shards` remembers that there are
/// shards, because that never changes and probes ask often.
pub(super) async fn schema_state(
    connections: &Connections,
    kind: Kind,
    has_shards: &AtomicBool,
) -> Result<SchemaState, BoxError> {
    const APPLIED: &str = "
        SELECT coalesce(array_agg(version), '{}'), current_setting('transaction_read_only')::boolean
        FROM _sqlx_migrations WHERE success";
    let connection = match connections.take().await {
        Ok(connection) => connection,
        Err(error) if is_missing_database(&error) => return Ok(SchemaState::Missing),
        Err(error) => return Err(error.into()),
    };
    let found = connection
        .run(async |connection| {
            let (applied, is_read_only): (Vec<i64>, bool) =
                sqlx::query_as(APPLIED).fetch_one(&mut *connection).await?;
            if is_read_only {
                return Ok(SchemaState::ReadOnly);
            }
            let state = compared(kind, &applied);
            let is_complete = state == SchemaState::Migrated;
            if kind == Kind::Orders && is_complete && !has_shards.load(Ordering::Relaxed) {
                // Making the shards is the last step of a migration; without them nothing can be claimed.
                if count_shards(connection).await? == 0 {
                    let known = last(sources(kind));
                    let applied = known - 1;
                    return Ok(SchemaState::Behind { applied, known });
                }
                has_shards.store(true, Ordering::Relaxed);
            }
            Ok(state)
        })
        .await;
    match found {
        Ok(state) => Ok(state),
        // Undefined table.
        Err(error) if error.has_code("42P01") => Ok(SchemaState::Missing),
        Err(error) => Err(error.into()),
    }
}

/// Compares the `applied` migrations with all that this program knows: one may be missing below others.
fn compared(kind: Kind, applied: &[i64]) -> SchemaState {
    let sources = sources(kind);
    let is_applied = |source: &&Source| applied.contains(&source.0);
    let complete = sources.iter().take_while(is_applied).count();
    let known = last(sources);
    let newest = applied.iter().copied().max();
    match newest {
        None => SchemaState::Missing,
        Some(_) if complete < sources.len() => SchemaState::Behind {
            applied: last(&sources[..complete]),
            known,
        },
        Some(applied) if applied > known => SchemaState::Ahead { applied, known },
        Some(_) => SchemaState::Migrated,
    }
}

/// The last number of `sources`, which are in order; 0 if there is none.
fn last(sources: &[Source]) -> i64 {
    sources.last().map_or(0, |source| source.0)
}

fn migrator(kind: Kind) -> Migrator {
    let migrations = sources(kind).iter().map(|(version, name, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            sql,
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

fn is_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|found| found == code)
}

fn is_missing_database(error: &super::error::Failure) -> bool {
    let super::error::Failure::NotStarted(source) = error else {
        return false;
    };
    source.downcast_ref::<sqlx::Error>().is_some_and(is_missing)
}

/// Whether the error says that there is no such database.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    is_code(error, "3D000")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
    use uuid::Uuid;

    use super::*;

    /// Longer than any step of this test takes: an insert that waits for the reader waits for ever.
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn every_known_migration_must_be_there() {
        for kind in [Kind::Orders, Kind::Inventory] {
            let all: Vec<i64> = sources(kind).iter().map(|source| source.0).collect();
            assert!(all.is_sorted(), "{kind:?}: {all:?}");
            let known = all[all.len() - 1];
            assert_eq!(compared(kind, &[]), SchemaState::Missing);
            assert_eq!(compared(kind, &all), SchemaState::Migrated);
            let newer = [&all[..], &[99]].concat();
            let ahead = SchemaState::Ahead { applied: 99, known };
            assert_eq!(compared(kind, &newer), ahead);
            for gap in 1..all.len() {
                let mut applied = newer.clone();
                applied.remove(gap);
                let applied = compared(kind, &applied);
                let before = all[gap - 1];
                assert_eq!(
                    applied,
                    SchemaState::Behind {
                        applied: before,
                        known
                    }
                );
            }
        }
    }

    /// A report that runs for seconds holds the table that a migration wants to change. The migration waits
    /// for the report's end; writers don't.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_migration_that_waits_for_a_reader_does_not_hold_up_the_writers() {
        let server = std::env::var("TRACKOPS_TEST_POSTGRES_URL")
            .expect("TRACKOPS_TEST_POSTGRES_URL must name a PostgreSQL server");
        let name = format!("trackops_test_{}", Uuid::new_v4().simple());
        let url = format!("{}/{name}", server.trim_end_matches('/'));
        create(&url).await.unwrap();
        let options = url::options(&url).unwrap();
        // The next migration alters the outbox.
        bring_up_to_date(&options, Kind::Orders, Some(5), ShardCount::DEFAULT)
            .await
            .unwrap();

        let mut reader = options.connect().await.unwrap();
        reader.execute("BEGIN").await.unwrap();
        reader.execute("SELECT count(*) FROM outbox").await.unwrap();
        // A thread, because the compiler can't tell that a migration's future is `Send`.
        let migrating = std::thread::spawn({
            let url = url.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let migrated = migrate(&url, Kind::Orders, false, ShardCount::DEFAULT);
                runtime.unwrap().block_on(migrated)
            }
        });
        let mut writer = options.connect().await.unwrap();
        let (begun, mut held_up) = (Instant::now(), 0);
        // The migration comes to the table, gives up while the reader is still there, and comes again.
        while held_up < 2 {
            assert!(begun.elapsed() < LONG, "the migration came {held_up} times");
            let asked = Instant::now();
            let insert = writer.execute(
                "INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
                 VALUES (0, 1, 0, now(), gen_random_uuid(), gen_random_uuid(), 'ORDER_CREATED', '{}')",
            );
            let inserted = tokio::time::timeout(LONG, insert).await;
            inserted.expect("it waits for the migration only").unwrap();
            if asked.elapsed() > Duration::from_millis(100) {
                held_up += 1;
            }
        }
        assert!(!migrating.is_finished(), "it waits for the reader");
        reader.execute("ROLLBACK").await.unwrap();
        let migrated = migrating.join().unwrap().unwrap();
        assert_eq!(migrated.shards, Some(ShardCount::DEFAULT.get()));

        drop((reader, writer));
        let mut admin =
            PgConnection::connect(&format!("{}/postgres", server.trim_end_matches('/')))
                .await
                .unwrap();
        let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
        admin.execute(drop).await.unwrap();
    }
}
