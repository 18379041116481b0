//! The handle to the one writer of the file: each call queues up a request and waits for its outcome. Leaves
//! the transactions to [`super::transactions`].

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::WriteError;
use super::file_health::FileHealth;
use super::transactions::{Job, work_off};

/// The most requests that may wait. Callers are the journal's writer, the relay, consumers and a handful of
/// requests to the inventory: far fewer than this, so a full queue means that the file has stalled.
const QUEUE_MAX: usize = 1024;
/// A handle to the writer.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    health: FileHealth,
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
        let health = FileHealth::default();
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
        if !self.health.has_failed() {
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
