//! The transactions of the one writer: requests that wait together share one, and its flush. A request that is
//! refused is rolled back to its savepoint, and the others stay.
//!
//! A transaction is not flushed if all its requests would be repeated after a loss (the relay's deletions,
//! consumers' offsets, messages passed from outbox to bus); the next flush includes it. The log is written in
//! order, so a power failure loses only the last transactions. A kill loses nothing, because the system has
//! the written data.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::WriteError;
use super::file_health::FileHealth;

/// Requests of one transaction: enough to share a flush, few enough that the first doesn't wait
/// for the last noticeably.
const GROUP_MAX: usize = 64;

/// With `FLUSHED` a commit returns when it is on the disk, with `NOT_FLUSHED` when the system has it. Either
/// survives the end of this process.
const FLUSHED: &str = "PRAGMA synchronous = FULL";
const NOT_FLUSHED: &str = "PRAGMA synchronous = NORMAL";

/// Ends one request of a transaction and begins the next.
const NEXT: &str = "RELEASE request; SAVEPOINT request";

/// A request: some statements, and the caller to answer.
pub(super) trait Job: Send {
    /// Whether the caller is told that the request is durable.
    fn needs_flush(&self) -> bool;
    /// Runs the statements; `false` if they are to be rolled back.
    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Why it failed, if that is the file's fault.
    fn trouble(&self) -> Option<&WriteError>;
    /// Reports the outcome to the caller. `Ok` means that the transaction was committed; a request that
    /// failed by itself reports its own error instead.
    fn finish(self: Box<Self>, committed: Result<(), WriteError>);
}

/// Works off `requests` on `conn`, which it reopens by `options` after a failure, until `closing` is cancelled
/// and the queue is empty. Then it closes the file.
pub(super) async fn work_off(
    conn: SqliteConnection,
    options: SqliteConnectOptions,
    mut requests: mpsc::Receiver<Box<dyn Job>>,
    closing: CancellationToken,
    health: FileHealth,
) {
    // A connection begins with every commit flushed.
    let mut conn = Some((conn, true));
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled(), if !requests.is_closed() => {
                requests.close();
                continue;
            }
            taken = requests.recv_many(&mut group, GROUP_MAX) => if taken == 0 { break },
        }
        let (mut open, mut flushes) = match conn.take() {
            Some(open) => open,
            None => match options.connect().await {
                Ok(open) => (open, true),
                Err(error) => {
                    let error = WriteError::Failed(Arc::new(error));
                    health.failed(&error);
                    fail(&mut group, &error);
                    continue;
                }
            },
        };
        if commit(&mut open, &mut flushes, &mut group, &health).await {
            conn = Some((open, flushes));
        } else if let Err(error) = open.close_hard().await {
            tracing::warn!(%error, "closing the database after a failure");
        }
    }
    if let Some((mut open, _)) = conn {
        checkpoint(&mut open).await;
        if let Err(error) = open.close().await {
            tracing::warn!(%error, "closing the database");
        }
    }
}

fn fail(group: &mut Vec<Box<dyn Job>>, error: &WriteError) {
    for job in group.drain(..) {
        job.finish(Err(error.clone()));
    }
}

/// One transaction for `group`, which it empties. `false` if the connection can't be used any more.
async fn commit(
    conn: &mut SqliteConnection,
    flushes: &mut bool,
    group: &mut Vec<Box<dyn Job>>,
    health: &FileHealth,
) -> bool {
    let run = AssertUnwindSafe(run_all(conn, flushes, group))
        .catch_unwind()
        .await;
    let kept = match run.unwrap_or_else(|_| Err(sqlx::Error::Protocol("a write panicked".into()))) {
        Ok(kept) => kept,
        Err(error) => {
            let rolled_back = execute(conn, "ROLLBACK").await.is_ok();
            let error = WriteError::Failed(Arc::new(error));
            health.failed(&error);
            fail(group, &error);
            return rolled_back;
        }
    };
    if !kept {
        let rolled_back = execute(conn, "ROLLBACK").await.is_ok();
        if let Some(trouble) = group.iter().find_map(|job| job.trouble()) {
            health.failed(trouble);
        }
        finish(group);
        return rolled_back;
    }
    match execute(conn, "COMMIT").await {
        Ok(()) => {
            health.is_well();
            finish(group);
            true
        }
        Err(error) => {
            let error = WriteError::Unknown(Arc::new(error));
            health.failed(&error);
            fail(group, &error);
            false
        }
    }
}

fn finish(group: &mut Vec<Box<dyn Job>>) {
    for job in group.drain(..) {
        job.finish(Ok(()));
    }
}

/// Runs `group` in a transaction; returns whether there is something to commit.
async fn run_all(
    conn: &mut SqliteConnection,
    flushes: &mut bool,
    group: &mut [Box<dyn Job>],
) -> sqlx::Result<bool> {
    let needs_flush = group.iter().any(|job| job.needs_flush());
    if *flushes != needs_flush {
        // This setting can be changed only between transactions.
        let how = if needs_flush { FLUSHED } else { NOT_FLUSHED };
        execute(conn, how).await?;
        *flushes = needs_flush;
    }
    execute(conn, "BEGIN IMMEDIATE").await?;
    if let [alone] = group {
        // A single request needs no savepoint: the whole transaction is rolled back.
        return Ok(alone.run(conn).await);
    }
    let (mut kept, mut left) = (false, group.len());
    execute(conn, "SAVEPOINT request").await?;
    for job in group {
        left -= 1;
        if !job.run(conn).await {
            // The savepoint stays for the next request. This fails if the error ended the whole transaction
            // (disk full, I/O): then all requests fail.
            execute(conn, "ROLLBACK TO request").await?;
            continue;
        }
        kept = true;
        if left > 0 {
            // One call for both statements: the way to SQLite's thread and back takes longer than they do.
            sqlx::raw_sql(NEXT).execute(&mut *conn).await?;
        }
    }
    Ok(kept)
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(conn).await.map(drop)
}

/// Leaves one file behind instead of a file and its log.
async fn checkpoint(conn: &mut SqliteConnection) {
    if let Err(error) = execute(conn, "PRAGMA wal_checkpoint(TRUNCATE)").await {
        tracing::warn!(%error, "checkpoint at close");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Fake {
        needs_flush: bool,
        sql: &'static str,
        kept: Arc<AtomicUsize>,
    }

    impl Job for Fake {
        fn needs_flush(&self) -> bool {
            self.needs_flush
        }

        fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
            async move { execute(conn, self.sql).await.is_ok() }.boxed()
        }

        fn trouble(&self) -> Option<&WriteError> {
            None
        }

        fn finish(self: Box<Self>, committed: Result<(), WriteError>) {
            self.kept
                .fetch_add(usize::from(committed.is_ok()), Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_transaction_is_flushed_if_anything_in_it_must_be() {
        let mut conn = SqliteConnection::connect(":memory:").await.expect("memory");
        execute(&mut conn, "CREATE TABLE t (n INTEGER PRIMARY KEY)")
            .await
            .expect("created");
        let kept = Arc::new(AtomicUsize::new(0));
        let job = |needs_flush, sql| -> Box<dyn Job> {
            let kept = Arc::clone(&kept);
            Box::new(Fake {
                needs_flush,
                sql,
                kept,
            })
        };
        let mut flushes = true;
        for (wanted, mut group) in [
            (1, vec![job(false, "INSERT INTO t VALUES (1)")]),
            (
                2,
                vec![
                    job(false, "INSERT INTO t VALUES (2)"),
                    job(false, "INSERT INTO t VALUES (1)"),
                    job(true, "INSERT INTO t VALUES (3)"),
                ],
            ),
            (
                1,
                vec![
                    job(false, "INSERT INTO t VALUES (4)"),
                    job(false, "rubbish"),
                ],
            ),
        ] {
            run_all(&mut conn, &mut flushes, &mut group)
                .await
                .expect("runs");
            execute(&mut conn, "COMMIT").await.expect("commits");
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut conn)
                .await
                .expect("an answer");
            assert_eq!(synchronous, wanted);
        }
        let rows: Vec<i64> = sqlx::query_scalar("SELECT n FROM t ORDER BY n")
            .fetch_all(&mut conn)
            .await
            .expect("rows");
        assert_eq!(rows, [1, 2, 3, 4], "what is refused takes nobody along");
    }
}
