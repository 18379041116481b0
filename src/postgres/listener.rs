//! Announces new outbox rows, and hears announcements over a connection of its own that is made again when it
//! is lost. A signal is only a hint: a waiter also wakes on a timer.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use trackops_cluster::backoff::Backoff;

use super::connections::Connections;
use super::error::Failure;
use super::url::DatabaseOptions;

/// The channel of [`ANNOUNCE`].
pub(super) const OUTBOX: &str = "trackops_outbox";

/// The channel on which the functions of `migrations/orders/0005_cluster.sql` tell of changes.
pub(super) const CLUSTER: &str = "trackops_cluster";

/// Runs as a separate statement, after the commit that it announces: `NOTIFY` holds a lock of the whole
/// server until its transaction ends.
const ANNOUNCE: &str = "SELECT pg_notify('trackops_outbox', '')";

/// The longest pause between attempts to connect, and the longest attempt: short enough to use a returning
/// server at once, and long enough not to disturb one that is starting.
const LONGEST: Duration = Duration::from_secs(5);
const BACKOFF: Backoff = Backoff::exact(Duration::from_millis(200), LONGEST);

/// Tells the relays that there is work.
pub(super) async fn announce(connections: &Connections) -> Result<(), Failure> {
    let connection = connections.take().await?;
    connection
        .run(async |connection| sqlx::query(ANNOUNCE).execute(connection).await)
        .await?;
    Ok(())
}

/// A running listener; ends when dropped.
#[derive(Debug)]
pub(super) struct NotificationListener {
    signal: Arc<Notify>,
    task: AbortHandle,
}

impl NotificationListener {
    /// Starts the task on the current runtime.
    pub fn start(options: DatabaseOptions, channel: &'static str) -> Self {
        let signal = Arc::new(Notify::new());
        let task = tokio::spawn(listen(options, channel, Arc::clone(&signal))).abort_handle();
        Self { signal, task }
    }

    /// Returns once there was a signal since the last call. A signal that comes while nobody waits is kept.
    pub async fn signalled(&self) {
        self.signal.notified().await;
    }
}

impl Drop for NotificationListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(options: DatabaseOptions, channel: &'static str, signal: Arc<Notify>) {
    let mut backoff = BACKOFF;
    loop {
        match listen_once(&options, channel, &signal, &mut backoff).await {
            Ok(()) => tracing::debug!("listener lost its connection"),
            Err(error) => tracing::debug!(%error, "listener can't connect"),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    options: &PgConnectOptions,
    channel: &str,
    signal: &Notify,
    backoff: &mut Backoff,
) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LONGEST)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    backoff.reset();
    // A change may have been announced before this connection listened.
    signal.notify_one();
    while listener.try_recv().await?.is_some() {
        signal.notify_one();
    }
    Ok(())
}
