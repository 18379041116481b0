//! Bringing the databases up to date, forwards only, and saying whether they are.

use std::borrow::Cow;
use std::fmt;

use sqlx::migrate::{MigrateDatabase as _, Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions as _, PgConnection, Postgres, SqlSafeStr as _};
use thiserror::Error;
use trackops_cluster::ShardCount;

use super::connections::Connections;
use super::{Kind, OpenError, connect_options};
use crate::ports::journal::BoxError;

type Source = (i64, &'static str, &'static str);

const OUTBOX: Source = (
    1,
    "outbox",
    include_str!("../../migrations/shared/0001_outbox.sql"),
);

const OUTBOX_SEQUENCE: Source = (
    6,
    "outbox sequence",
    include_str!("../../migrations/shared/0006_outbox_sequence.sql"),
);

const OUTBOX_EXCHANGE: Source = (
    8,
    "outbox exchange",
    include_str!("../../migrations/shared/0008_outbox_exchange.sql"),
);

const MAINTENANCE: Source = (
    13,
    "maintenance",
    include_str!("../../migrations/shared/0013_maintenance.sql"),
);

const ORDERS: [Source; 9] = [
    OUTBOX,
    (
        2,
        "orders",
        include_str!("../../migrations/orders/0002_orders.sql"),
    ),
    (
        3,
        "append orders",
        include_str!("../../migrations/orders/0003_append_orders.sql"),
    ),
    (
        4,
        "claim shards",
        include_str!("../../migrations/orders/0004_claim_shards.sql"),
    ),
    (
        5,
        "cluster",
        include_str!("../../migrations/orders/0005_cluster.sql"),
    ),
    OUTBOX_SEQUENCE,
    OUTBOX_EXCHANGE,
    (
        10,
        "release deadlines",
        include_str!("../../migrations/orders/0010_release_deadlines.sql"),
    ),
    MAINTENANCE,
];

// A number that is shared is the same in both databases; the numbers of one may have gaps.
const INVENTORY: [Source; 7] = [
    OUTBOX,
    (
        2,
        "inventory",
        include_str!("../../migrations/inventory/0002_inventory.sql"),
    ),
    OUTBOX_SEQUENCE,
    (
        7,
        "stock key answers",
        include_str!("../../migrations/inventory/0007_stock_key_answers.sql"),
    ),
    OUTBOX_EXCHANGE,
    (
        9,
        "stock versions",
        include_str!("../../migrations/inventory/0009_stock_versions.sql"),
    ),
    MAINTENANCE,
];

/// Whether a database is as this program needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It is.
    Migrated,
    /// There is no such database, or nothing of ours in it.
    Missing,
    /// It was left by an older version.
    Behind {
        /// The last migration that it has.
        applied: i64,
        /// The last that this program knows.
        known: i64,
    },
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

/// What [`migrate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The database was made.
    pub created: bool,
    /// How many shards the orders' database has, whatever was asked for; `None` for the inventory's.
    pub shards: Option<u16>,
}

/// Why a database could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The URL.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It doesn't exist, and may not be made.
    #[error("the database doesn't exist")]
    NoDatabase,
    /// The server can't be reached, or refused.
    #[error("the database can't be reached or refused")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or one that was applied has changed since.
    #[error("the migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Brings the database at `url` up to date, making it if it doesn't exist and `may_create`. The
/// orders' database gets `shards` shards when it is first migrated; later the number is as it is.
pub async fn migrate(
    url: &str,
    kind: Kind,
    may_create: bool,
    shards: ShardCount,
) -> Result<Migrated, MigrateError> {
    let options = connect_options(url)?;
    let created = match options.connect().await {
        Ok(_) => false,
        Err(error) if is_code(&error, "3D000") && may_create => create(url).await?,
        Err(error) if is_code(&error, "3D000") => return Err(MigrateError::NoDatabase),
        Err(error) => return Err(error.into()),
    };
    let mut connection = options
        // Building an index on a table that has grown takes longer than a statement may.
        .options([("statement_timeout", "0")])
        .connect()
        .await?;
    // `run` is the same for anything that gives a connection, and so generic that its future is not
    // known to be `Send`.
    migrator(kind)
        .run_direct(None, &mut connection, false)
        .await?;
    let shards = match kind {
        Kind::Orders => Some(make_shards(&mut connection, shards).await?),
        Kind::Inventory => None,
    };
    Ok(Migrated { created, shards })
}

async fn create(url: &str) -> Result<bool, MigrateError> {
    match Postgres::create_database(url).await {
        Ok(()) => Ok(true),
        // Somebody else was faster.
        Err(error) if is_code(&error, "42P04") || is_code(&error, "23505") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn make_shards(
    connection: &mut PgConnection,
    wanted: ShardCount,
) -> Result<u16, MigrateError> {
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
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM shards")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u16::try_from(count).unwrap_or(u16::MAX))
}

/// Compares what the database has with what this program knows.
pub(super) async fn schema_state(
    connections: &Connections,
    kind: Kind,
) -> Result<SchemaState, BoxError> {
    let connection = match connections.take().await {
        Ok(connection) => connection,
        Err(error) if is_missing_database(&error) => return Ok(SchemaState::Missing),
        Err(error) => return Err(error.into()),
    };
    let applied = connection
        .run(async |connection| {
            let applied: Option<i64> =
                sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                    .fetch_one(&mut *connection)
                    .await?;
            let last = known(kind);
            if kind == Kind::Orders && applied == Some(last) {
                let ready: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM shards)")
                    .fetch_one(connection)
                    .await?;
                // The last step of migrating: without it nothing can be claimed.
                return Ok(if ready { applied } else { Some(last - 1) });
            }
            Ok(applied)
        })
        .await;
    let known = known(kind);
    match applied {
        Ok(Some(applied)) if applied == known => Ok(SchemaState::Migrated),
        Ok(Some(applied)) if applied < known => Ok(SchemaState::Behind { applied, known }),
        Ok(Some(applied)) => Ok(SchemaState::Ahead { applied, known }),
        Ok(None) => Ok(SchemaState::Missing),
        // Undefined table.
        Err(error) if error.has_code("42P01") => Ok(SchemaState::Missing),
        Err(error) => Err(error.into()),
    }
}

fn sources(kind: Kind) -> &'static [Source] {
    match kind {
        Kind::Orders => &ORDERS,
        Kind::Inventory => &INVENTORY,
    }
}

fn known(kind: Kind) -> i64 {
    sources(kind)
        .iter()
        .map(|source| source.0)
        .max()
        .unwrap_or(0)
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
    source
        .downcast_ref::<sqlx::Error>()
        .is_some_and(|error| is_code(error, "3D000"))
}
