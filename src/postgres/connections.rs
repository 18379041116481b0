//! A few connections to one database, each used by one call at a time.
//!
//! This is no general pool: after a failure it must be known whether the statement may have run. So an idle
//! connection is tested before it gets a statement. A connection whose statement didn't end normally is
//! closed, also when the caller was cancelled. And when a server turns out not to be the primary, every
//! connection to it is closed, and the name is resolved again for the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::error::{Failure, is_of_another_server};
use super::url::DatabaseOptions;

/// A connection that was idle for longer is tested first: the server may have gone meanwhile.
const TRY_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How long the test may take; a healthy server answers in less than a millisecond.
const TRY_LIMIT: Duration = Duration::from_secs(1);

/// The server ends a statement a tenth of the wait before its caller stops waiting, and at most this long
/// before. A statement that the server has ended certainly had no effect.
const SERVER_MARGIN_MAX: Duration = Duration::from_millis(500);

/// The settings of a session. They are set by statements and not when connecting, because poolers let few
/// start parameters through.
///
/// Every statement here is short and served by an index. Its plan is cached for the life of the connection
/// and may have been made while the tables were empty, so kinds of plan that suit only empty tables are
/// switched off. The server ends a statement whose client has closed the connection, if its operating system
/// can tell.
const SESSION: &str = "
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET enable_bitmapscan = off; SET jit = off;
    SET idle_in_transaction_session_timeout = '15s';
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '500ms', false);
    EXCEPTION WHEN invalid_parameter_value THEN NULL;
    END $$;
    SELECT pg_is_in_recovery()";

/// Rises when a server has said that it isn't the primary, or not any more: earlier connections are useless
/// then. All connections to one database share it.
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

/// Opens a session with this program's settings. Each of its statements may run for `run` in the server.
pub(super) async fn session(
    options: &PgConnectOptions,
    run: Duration,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let limit = format!("SET statement_timeout = {}; {SESSION}", run.as_millis());
    // The text consists of this program's own text and a number.
    let row = sqlx::raw_sql(AssertSqlSafe(limit))
        .fetch_one(&mut connection)
        .await?;
    if sqlx::Row::try_get(&row, 0)? {
        // A standby's data may be old, and it takes no writes.
        return Err(sqlx::Error::Configuration(
            "the server is a standby: it only follows another".into(),
        ));
    }
    Ok(connection)
}

/// Bounds of [`Connections`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most connections.
    pub connections: u32,
    /// How long to wait for a free connection, and then again for a new one to be made.
    pub acquire: Duration,
    /// How long a statement or transaction may run.
    pub run: Duration,
}

/// A few connections to one database; see the module.
#[derive(Debug)]
pub(super) struct Connections {
    options: DatabaseOptions,
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

/// A connection in use. Dropping it closes it; [`Taken::run`] gives it back.
pub(super) struct Taken<'a> {
    connection: PgConnection,
    number: u64,
    turn: u64,
    home: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    /// Makes no connection yet.
    pub fn new(options: DatabaseOptions, limits: Limits, turns: ServerGeneration) -> Self {
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
        // Close the connections to a server that was given up.
        self.idle.lock().retain(|idle| idle.turn == turn);
        loop {
            // The most recently used first: connections that only a burst needed then grow old and are
            // dropped.
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
            // The others have been idle for longer, so none of them is worth another test.
            self.idle.lock().clear();
        }
    }
}

impl Taken<'_> {
    /// The number of the connection, from 1. Another number means another session of the server.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Runs `work` on the connection, within the limit. The connection is given back if the work succeeded or
    /// the server refused it normally.
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
