//! The database file: its directory and lock, its schema, its one writer and its readers.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::OpenError;
use super::writer::Writer;

/// The database, in the data directory.
const FILE: &str = "trackops.db";
/// The file that is locked while the directory is in use. It is never removed, because only its lock counts.
const LOCK_FILE: &str = "trackops.lock";
/// The most readers at once: list, load, relay and consumers. More would only share two cores.
const READERS_MAX: u32 = 4;
/// Longest wait for a reader; after that the file counts as stalled.
const READER_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for SQLite's own locks, e.g. while a connection that was given up closes.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Pages (4 KiB) in the log before it is copied into the file: fewer and smaller pauses of the
/// writer than the default 1000 under load, 16 MiB of disk at the most.
const CHECKPOINT_PAGES: &str = "4096";
/// The log is cut to this after a checkpoint.
const LOG_BYTES_MAX: &str = "67108864";
/// Memory for pages of the writer, in KiB as a negative number (SQLite's way to say so).
const WRITER_CACHE: &str = "-32768";

/// Migrations, oldest first; the n-th brings the file to form n. Never changed once released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_stock_key_answers.sql"),
    include_str!("migrations/0003_outbox_set_aside.sql"),
    include_str!("migrations/0004_stock_versions.sql"),
    include_str!("migrations/0005_order_shops.sql"),
    include_str!("migrations/0006_access.sql"),
];

/// The open file.
#[derive(Debug)]
pub(super) struct Db {
    /// For reads; sees every acknowledged commit.
    pub(super) reads: SqlitePool,
    /// For writes.
    pub(super) writer: Writer,
    /// Cancelled when the store closes.
    pub(super) closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Db {
    /// Creates and locks `dir`, opens the file and brings it up to date.
    pub(super) async fn open(dir: &Path) -> Result<Self, OpenError> {
        let lock = lock(dir)?;
        let failed = |source| OpenError::Database {
            dir: dir.into(),
            source,
        };
        let options = writer_options(&dir.join(FILE));
        let mut conn = options.connect().await.map_err(failed)?;
        migrate(&mut conn, dir).await?;
        let reads = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(READER_WAIT)
            .connect_with(reader_options(&dir.join(FILE)))
            .await
            .map_err(failed)?;
        let closing = CancellationToken::new();
        let (writer, task) = Writer::start(conn, options, closing.clone(), lock);
        Ok(Self {
            reads,
            writer,
            closing,
            task: Mutex::new(Some(task)),
        })
    }

    /// Finishes what is queued, folds the log into the file and unlocks the directory. Later calls
    /// of any adapter fail as if the file were away.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.reads.close().await;
        let task = self.task.lock().await.take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer ended badly");
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Directory {
        dir: dir.into(),
        source,
    };
    make_private(dir).map_err(unusable)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.into() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Makes the folder if it isn't there. What is in it has addresses of people, so nobody else may enter it.
fn make_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn writer_options(path: &PathBuf) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_WAIT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_MAX)
        .pragma("cache_size", WRITER_CACHE)
}

fn reader_options(path: &PathBuf) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_WAIT)
}

/// Brings the file to the newest form, each step in a transaction of its own.
async fn migrate(conn: &mut SqliteConnection, dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database {
        dir: dir.into(),
        source,
    };
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *conn)
        .await
        .map_err(failed)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer {
            dir: dir.into(),
            found,
            known,
        });
    }
    for (migration, form) in MIGRATIONS
        .iter()
        .zip(1_i64..)
        .skip_while(|(_, form)| *form <= found)
    {
        let script =
            format!("BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {form};\nCOMMIT;");
        // The text consists of this program's own text and a number.
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(script))
            .execute(&mut *conn)
            .await;
        done.map_err(failed)?;
    }
    Ok(())
}
