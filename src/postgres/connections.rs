//! A few connections to one database, each used by one call at a time.
//!
//! Not a general pool: what matters here is to know, after a failure, whether the statement may have
//! run. So a connection that has been idle is tried before it gets a statement, and one whose
//! statement didn't end in good order is closed, also when its caller was cancelled.

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
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection in use. Closed when dropped; [`Taken::run`] gives it back.
pub(super) struct Taken<'a> {
    connection: PgConnection,
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
        }
    }

    /// A connection that was alive a moment ago.
    pub async fn take(&self) -> Result<Taken<'_>, Failure> {
        let permit = timeout(self.limits.acquire, self.permits.acquire())
            .await
            .map_err(|_| Failure::NotStarted("no connection became free in time".into()))?
            .map_err(|closed| Failure::NotStarted(closed.into()))?;
        let connection = match self.take_idle().await {
            Some(connection) => connection,
            None => timeout(self.limits.acquire, self.options.connect())
                .await
                .map_err(|_| Failure::NotStarted("connecting took too long".into()))?
                .map_err(|error| Failure::NotStarted(error.into()))?,
        };
        Ok(Taken {
            connection,
            home: self,
            _permit: permit,
        })
    }

    async fn take_idle(&self) -> Option<PgConnection> {
        loop {
            // The newest first, so that those which a burst needed grow old and are dropped.
            let Idle {
                mut connection,
                since,
            } = self.idle.lock().pop()?;
            if since.elapsed() < TRY_AFTER_IDLE {
                return Some(connection);
            }
            if let Ok(Ok(())) = timeout(TRY_LIMIT, connection.ping()).await {
                return Some(connection);
            }
        }
    }
}

impl Taken<'_> {
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
                since: Instant::now(),
            });
        }
        result
    }
}
