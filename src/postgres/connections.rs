//! A few connections to one database, each used by one call at a time.
//!
//! Not a general pool: what matters here is to know, after a failure, whether the statement may have
//! run. So a connection that has been idle is tried before it gets a statement, and one whose
//! statement didn't end in good order is closed, also when its caller was cancelled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::error::Failure;

/// Idle for longer than this, a connection is tried first: the server may have gone meanwhile.
const TRY_AFTER_IDLE: Duration = Duration::from_secs(1);

/// How long the try may take; a healthy server answers in less than a millisecond.
const TRY_LIMIT: Duration = Duration::from_secs(1);

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
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    /// Connections made so far.
    made: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    number: u64,
    since: Instant,
}

/// A connection in use. Closed when dropped; [`Taken::run`] gives it back.
pub(super) struct Taken<'a> {
    connection: PgConnection,
    number: u64,
    home: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Connections {
    /// Connects to nothing yet.
    pub fn new(options: PgConnectOptions, limits: Limits) -> Self {
        Self {
            options,
            limits,
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
        let (connection, number) = if let Some(idle) = self.take_idle().await {
            idle
        } else {
            let connection = timeout(self.limits.acquire, self.options.connect())
                .await
                .map_err(|_| Failure::NotStarted("connecting took too long".into()))?
                .map_err(|error| Failure::NotStarted(error.into()))?;
            (connection, self.made.fetch_add(1, Ordering::Relaxed) + 1)
        };
        Ok(Taken {
            connection,
            number,
            home: self,
            _permit: permit,
        })
    }

    async fn take_idle(&self) -> Option<(PgConnection, u64)> {
        loop {
            // The newest first, so that those which a burst needed grow old and are dropped.
            let Idle {
                mut connection,
                number,
                since,
            } = self.idle.lock().pop()?;
            if since.elapsed() < TRY_AFTER_IDLE {
                return Some((connection, number));
            }
            if let Ok(Ok(())) = timeout(TRY_LIMIT, connection.ping()).await {
                return Some((connection, number));
            }
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
            Ok(result) => result.map_err(Failure::of_run),
            Err(_) => Err(Failure::Lost("no answer in time".into())),
        };
        if result.as_ref().err().is_none_or(Failure::leaves_connection) {
            self.home.idle.lock().push(Idle {
                connection: self.connection,
                number: self.number,
                since: Instant::now(),
            });
        }
        result
    }
}
