//! The one writer of the file: requests queue up, and those that wait together share a transaction and its
//! flush. A request that is refused is rolled back to its savepoint, and the others stay.
//!
//! A transaction is not flushed if all its requests would be repeated after a loss (the relay's deletions,
//! consumers' offsets, messages passed from outbox to bus); the next flush includes it. The log is written in
//! order, so a power failure loses only the last transactions. A kill loses nothing, because the system has
//! the written data.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::outage::causes;

use super::error::WriteError;
use crate::telemetry::repeated::RepeatedLog;

/// The most requests that may wait. Callers are the journal's writer, the relay, consumers and a handful of
/// requests to the inventory: far fewer than this, so a full queue means that the file has stalled.
const QUEUE_MAX: usize = 1024;
/// Requests of one transaction: enough to share a flush, few enough that the first doesn't wait
/// for the last noticeably.
const GROUP_MAX: usize = 64;

/// With `FLUSHED` a commit returns when it is on the disk, with `NOT_FLUSHED` when the system has it. Either
/// survives the end of this process.
const FLUSHED: &str = "PRAGMA synchronous = FULL";
const NOT_FLUSHED: &str = "PRAGMA synchronous = NORMAL";

/// Ends one request of a transaction and begins the next.
const NEXT: &str = "RELEASE request; SAVEPOINT request";

/// A handle to the writer.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    health: Health,
}

/// Why the last transaction failed; empty if it didn't.
#[derive(Clone, Debug, Default)]
struct Health {
    trouble: Arc<Mutex<Option<WriteError>>>,
    troubles: Arc<RepeatedLog>,
}

impl Health {
    /// Notes that a transaction was committed.
    fn is_well(&self) {
        *self.trouble.lock() = None;
        if let Some(recovery) = self.troubles.recovered(Instant::now()) {
            let (after, failures) = (recovery.lasted, recovery.count);
            tracing::info!(?after, failures, "the file takes writes again");
        }
    }

    /// Notes that a transaction failed through the file's fault.
    fn failed(&self, error: &WriteError) {
        *self.trouble.lock() = Some(error.clone());
        if let Some(repeats) = self.troubles.failed(Instant::now()) {
            let failures = repeats.count;
            tracing::error!(
                cause = causes(error),
                failures,
                "the file doesn't take writes"
            );
        }
    }
}

/// A request: some statements, and the caller to answer.
trait Job: Send {
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

struct Request<T, W, A> {
    work: Option<W>,
    after: A,
    needs_flush: bool,
    result: Option<Result<T, WriteError>>,
    reply: oneshot::Sender<Result<T, WriteError>>,
}

impl<T, W, A> Job for Request<T, W, A>
where
    T: Send + 'static,
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
    A: FnOnce(&T) + Send,
{
    fn needs_flush(&self) -> bool {
        self.needs_flush
    }

    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        let work = self.work.take();
        let result = &mut self.result;
        async move {
            let Some(work) = work else { return false };
            let outcome = work(conn).await.map_err(WriteError::of_work);
            let keep = outcome.is_ok();
            *result = Some(outcome);
            keep
        }
        .boxed()
    }

    fn trouble(&self) -> Option<&WriteError> {
        let failure = self.result.as_ref()?.as_ref().err();
        failure.filter(|error| !matches!(error, WriteError::Refused(_)))
    }

    fn finish(self: Box<Self>, committed: Result<(), WriteError>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(Ok(value))) => {
                (self.after)(&value);
                Ok(value)
            }
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), None) => Err(WriteError::Lost),
        };
        // The caller may have gone; the request is done all the same.
        drop(self.reply.send(result));
    }
}

impl Writer {
    /// Starts the writer on `conn`; it reopens by `options` after a failure. It ends when `closing`
    /// is cancelled and the queue is empty, and holds `guard` until the file is closed.
    pub(super) fn start<G: Send + Sync + 'static>(
        conn: SqliteConnection,
        options: SqliteConnectOptions,
        closing: CancellationToken,
        guard: G,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let health = Health::default();
        let writer = Self {
            queue,
            health: health.clone(),
        };
        let task = tokio::spawn(async move {
            work_off(conn, options, requests, closing, health).await;
            drop(guard);
        });
        (writer, task)
    }

    /// Whether the file takes writes, by the outcome of the last write. After a failed one a new write is
    /// tried.
    pub(super) async fn check(&self) -> Result<(), WriteError> {
        if self.health.trouble.lock().is_none() {
            return Ok(());
        }
        let trial = self.write(|conn| {
            async move {
                let form: i64 = sqlx::query_scalar("PRAGMA user_version")
                    .fetch_one(&mut *conn)
                    .await?;
                // It sets the value that is there already, and still writes a page.
                let sql = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {form}"));
                sqlx::query(sql).execute(conn).await.map(drop)
            }
            .boxed()
        });
        trial.await
    }

    /// Runs `work` in a transaction; returns its result once it is durable.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, WriteError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
            + Send
            + 'static,
    {
        self.queue_up(work, |_| (), true).await
    }

    /// As [`Self::write`], for work that would be repeated if a power failure lost it.
    pub(super) async fn write_repeatable<T, W>(&self, work: W) -> Result<T, WriteError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
            + Send
            + 'static,
    {
        self.queue_up(work, |_| (), false).await
    }

    /// As [`Self::write`]; `after` is called once it is durable, even if the caller has gone.
    pub(super) async fn write_then<T, W, A>(&self, work: W, after: A) -> Result<T, WriteError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
            + Send
            + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        self.queue_up(work, after, true).await
    }

    /// As [`Self::write_repeatable`]; `after` is called once it is committed, even if the caller has gone.
    pub(super) async fn write_repeatable_then<T, W, A>(
        &self,
        work: W,
        after: A,
    ) -> Result<T, WriteError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
            + Send
            + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        self.queue_up(work, after, false).await
    }

    async fn queue_up<T, W, A>(&self, work: W, after: A, needs_flush: bool) -> Result<T, WriteError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>
            + Send
            + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            work: Some(work),
            after,
            needs_flush,
            result: None,
            reply,
        };
        self.queue
            .send(Box::new(request))
            .await
            .map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Lost)?
    }
}

async fn work_off(
    conn: SqliteConnection,
    options: SqliteConnectOptions,
    mut requests: mpsc::Receiver<Box<dyn Job>>,
    closing: CancellationToken,
    health: Health,
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
    health: &Health,
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
