//! A few connections to one database, each used by one call at a time.
//!
//! Not a general pool: what matters here is to know, after a failure, whether the statement may have
//! run. So a connection that has been idle is tried before it gets a statement, and one whose
//! statement didn't end in good order is closed, also when its caller was cancelled. And a server that
//! turns out not to be the one that writes is left: every connection to it is closed, and the name is
//! resolved again for the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::error::{Failure, is_of_another_server};

/// Idle for longer than this, a connection is tried first: the server may have gone meanwhile.
const TRY_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How long the try may take; a healthy server answers in less than a millisecond.
const TRY_LIMIT: Duration = Duration::from_secs(1);

/// A statement ends in the server this much before its caller stops waiting for it, at most; else a tenth
/// of the wait before. What the server has ended has certainly not happened.
const SERVER_MARGIN_MAX: Duration = Duration::from_millis(500);

/// What a session is like. Set by statements, not when connecting: poolers let little else through.
///
/// Every statement here is short and served by an index. Its plan is cached for the life of the connection
/// and may have been made while the tables were empty, so the plans that are good only for empty tables
/// are out. A statement whose client has closed the connection is ended, where the server's system can
/// tell.
const SESSION: &str = "
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET enable_bitmapscan = off; SET jit = off;
    SET idle_in_transaction_session_timeout = '15s';
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '500ms', false);
    EXCEPTION WHEN invalid_parameter_value THEN NULL;
    END $$;
    SELECT pg_is_in_recovery()";

/// Rises when a server has said that it isn't the one that writes, or not any more: connections from before
/// lead nowhere. Shared by all that lead to one database.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerGeneration(Arc<AtomicU64>);

impl ServerGeneration {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn turn(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A session as this program has them, each of whose statements may run for `run` in the server.
pub(super) async fn session(
    options: &PgConnectOptions,
    run: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let limit = format!("SET statement_timeout = {}; {SESSION}", run.as_millis());
    // Built of this program's own text and a number.
    let row = sqlx::raw_sql(AssertSqlSafe(limit))
        .fetch_one(&mut connection)
        .await?;
    if sqlx::Row::try_get(&row, 0)? {
        // What it has may be old, and nothing can be written.
        return Err(sqlx::Error::Configuration(
            "the server is a standby: it only follows another".into(),
        ));
    }
    Ok(connection)
}

/// Bounds of [`Connections`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many at most.
    pub connections: u32,
    /// How long to wait for a free one, and then for it to be made.
    pub acquire: Duration,
    /// How long a statement or transaction may run.
    pub run: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connections {
    options: PgConnectOptions,
    limits: Limits,
    turns: ServerGeneration,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Connections made so far.
    made: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    number: u64,
    turn: u64,
    since: Instant,
}

/// A connection in use. Closed when dropped; [`Taken::run`] gives it back.
pub(super) struct Taken<'a> {
    connection: PgConnection,
    number: u64,
    turn: u64,
    home: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    /// Connects to nothing yet.
    pub fn new(options: PgConnectOptions, limits: Limits, turns: ServerGeneration) -> Self {
        Self {
            options,
            limits,
            turns,
            permits: Semaphore::new(limits.connections.max(1) as usize),
            idle: Mutex::new(Vec::new()),
            made: AtomicU64::new(0),
        }
    }

    /// A connection that was alive a moment ago.
    pub async fn take(&self) -> Result<Taken<'_>, Failure> {
        let permit = timeout(self.limits.acquire, self.permits.acquire())
            .await
            .map_err(|_| Failure::NotStarted("no connection became free in time".into()))?
            .map_err(|closed| Failure::NotStarted(closed.into()))?;
        let turn = self.turns.now();
        let (connection, number) = if let Some(idle) = self.take_idle(turn).await {
            idle
        } else {
            let connection = timeout(self.limits.acquire, self.connect())
                .await
                .map_err(|_| Failure::NotStarted("connecting took too long".into()))?
                .map_err(|error| Failure::NotStarted(error.into()))?;
            (connection, self.made.fetch_add(1, Ordering::Relaxed) + 1)
        };
        Ok(Taken {
            connection,
            number,
            turn,
            home: self,
            _permit: permit,
        })
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let run = self.limits.run;
        let margin = (run / 10).min(SERVER_MARGIN_MAX);
        session(&self.options, run.saturating_sub(margin)).await
    }

    async fn take_idle(&self, turn: u64) -> Option<(PgConnection, u64)> {
        // Those to a server that was left are closed.
        self.idle.lock().retain(|idle| idle.turn == turn);
        loop {
            // The newest first, so that those which a burst needed grow old and are dropped.
            let Idle {
                mut connection,
                number,
                since,
                ..
            } = self.idle.lock().pop()?;
            if since.elapsed() < TRY_AFTER_IDLE {
                return Some((connection, number));
            }
            if let Ok(Ok(())) = timeout(TRY_LIMIT, connection.ping()).await {
                return Some((connection, number));
            }
            // The others have been idle for longer: none of them is worth another wait.
            self.idle.lock().clear();
        }
    }
}

impl Taken<'_> {
    /// Which connection of its home it is, from 1: another number is another session of the server.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Runs `work` on the connection, for as long as the limit lets it. The connection goes back if
    /// the work succeeded or the server refused it in good order.
    pub async fn run<T>(
        mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let limit = self.home.limits.run;
        let result = timeout(limit, work(&mut self.connection)).await;
        let result = match result {
            Ok(result) => result.map_err(|error| {
                if is_of_another_server(&error) {
                    self.home.turns.turn();
                }
                Failure::of_run(error)
            }),
            Err(_) => Err(Failure::Lost("no answer in time".into())),
        };
        if result.as_ref().err().is_none_or(Failure::leaves_connection) {
            self.home.idle.lock().push(Idle {
                connection: self.connection,
                number: self.number,
                turn: self.turn,
                since: Instant::now(),
            });
        }
        result
    }
}
