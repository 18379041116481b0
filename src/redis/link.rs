//! The one connection to Redis: shared by all callers, and made again in the background when it is lost. No
//! caller waits for a connection. Leaves the commands to `cache`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisResult, cmd};
use tokio::time::{Instant, sleep, timeout};
use trackops_cluster::backoff::Backoff;

use super::failure::{RedisFailure, Scrubber, is_of_another_server};
use super::scripts::Scripts;
use super::settings::{RedisConfigError, RedisSettings};
use crate::telemetry::repeated::RepeatedLog;

/// The pauses between attempts to connect. A Redis that has come back is used again within the longest.
const RECONNECT: Backoff = Backoff::exact(Duration::from_millis(50), Duration::from_secs(2));
/// A connection that gave no answer for this long is given up. A network that drops packets would otherwise
/// hold it for the minutes that TCP takes to notice.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// Requests that may wait to be written. Calls are few and large (a batch each); in a burst reads wait here
/// rather than fail.
const QUEUE_MAX: usize = 1024;

/// A handle to the connection. The last one dropped ends the attempts to reconnect.
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: redis::Client,
    scripts: Scripts,
    /// Writes to a key of its own: see [`Link::trial`].
    trial: Cmd,
    scrubber: Scrubber,
    response_timeout: Duration,
    connect_timeout: Duration,
    live: ArcSwapOption<Live>,
    /// Counts the connections made so far: see `Cache::session`.
    session: AtomicU64,
    reconnecting: AtomicBool,
    last_error: Mutex<String>,
    troubles: RepeatedLog,
    /// When the oldest unanswered request was sent, in milliseconds after `origin` (at least 1); 0 if there
    /// is none.
    unanswered_since: AtomicU64,
    origin: Instant,
}

struct Live {
    connection: MultiplexedConnection,
    session: u64,
}

impl Link {
    /// Tries to connect once; if that fails, goes on trying in the background.
    pub(super) async fn open(settings: &RedisSettings) -> Result<Self, RedisConfigError> {
        let client = settings.client()?;
        let shared = Arc::new(Shared {
            scrubber: Scrubber::of(client.get_connection_info()),
            client,
            scripts: Scripts::new(),
            trial: trial(&settings.prefix),
            response_timeout: settings.response_timeout,
            connect_timeout: settings.connect_timeout,
            live: ArcSwapOption::empty(),
            session: AtomicU64::new(0),
            reconnecting: AtomicBool::new(false),
            last_error: Mutex::default(),
            troubles: RepeatedLog::new(),
            unanswered_since: AtomicU64::new(0),
            origin: Instant::now(),
        });
        if shared.connect().await.is_err() {
            shared.reconnect();
        }
        Ok(Self { shared })
    }

    /// See `Cache::session`.
    pub(super) fn session(&self) -> u64 {
        self.shared.session.load(Ordering::SeqCst)
    }

    /// The scripts, loaded on every connection.
    pub(super) fn scripts(&self) -> &Scripts {
        &self.shared.scripts
    }

    /// A harmless write. A server that takes it can be used; one that only answers reads may be a replica.
    pub(super) fn trial(&self) -> &Cmd {
        &self.shared.trial
    }

    /// Runs `ask` on the connection, for the response time-out at most. Fails at once when there is
    /// no connection.
    pub(super) async fn run<T>(
        &self,
        operation: &'static str,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, RedisFailure> {
        let shared = &self.shared;
        let Some(live) = shared.live.load_full() else {
            shared.reconnect();
            return Err(RedisFailure::NotConnected(shared.last_error.lock().clone()));
        };
        let question = Question::ask(shared);
        if question.silence > STALLED_AFTER {
            shared.lost(live.session, "no answer over this connection any more");
        }
        let mut connection = live.connection.clone();
        let limit = shared.response_timeout;
        let Ok(answer) = timeout(limit, ask(&mut connection)).await else {
            return Err(RedisFailure::TimedOut { operation, limit });
        };
        let error = match answer {
            Ok(answer) => {
                question.answered();
                return Ok(answer);
            }
            Err(error) => error,
        };
        let detail = shared.scrubber.text(&error);
        let is_over =
            error.is_unrecoverable_error() || error.is_io_error() || error.is_connection_dropped();
        if is_over || is_of_another_server(&error) {
            // The next connection resolves the name again.
            shared.lost(live.session, &detail);
        } else {
            question.answered();
        }
        Err(RedisFailure::Failed { operation, detail })
    }
}

impl Shared {
    /// Gives up connection `session`, if it is still in use, and starts making another.
    fn lost(self: &Arc<Self>, session: u64, why: &str) {
        let current = self.live.load();
        if current.as_ref().is_none_or(|live| live.session != session) {
            return;
        }
        let before = self.live.compare_and_swap(&current, None);
        if before
            .as_ref()
            .is_some_and(|before| before.session == session)
        {
            why.clone_into(&mut self.last_error.lock());
            self.failed(why, "the connection to redis is lost, going on without");
            self.reconnect();
        }
    }

    fn failed(&self, cause: &str, what: &'static str) {
        if let Some(repeats) = self.troubles.failed(Instant::now()) {
            tracing::warn!(cause, failures = repeats.count, "{what}");
        }
    }

    /// Starts the task that connects again, unless it is running.
    fn reconnect(self: &Arc<Self>) {
        if !self.reconnecting.swap(true, Ordering::SeqCst) {
            tokio::spawn(keep_connecting(Arc::downgrade(self)));
        }
    }

    async fn connect(&self) -> Result<(), ()> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.connect_timeout))
            .set_pipeline_buffer_size(QUEUE_MAX);
        let attempt = async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            self.scripts.load(&mut connection).await?;
            self.trial.exec_async(&mut connection).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        let error = match timeout(self.connect_timeout, attempt).await {
            Ok(Ok(connection)) => {
                // The connection is counted before it can be used, as the port promises.
                let session = self.session.fetch_add(1, Ordering::SeqCst) + 1;
                self.unanswered_since.store(0, Ordering::Relaxed);
                let live = Live {
                    connection,
                    session,
                };
                self.live.store(Some(Arc::new(live)));
                return Ok(());
            }
            Ok(Err(error)) => self.scrubber.text(&error),
            Err(_) => format!("no connection within {:?}", self.connect_timeout),
        };
        *self.last_error.lock() = error;
        Err(())
    }
}

/// See [`Link::trial`].
fn trial(prefix: &str) -> Cmd {
    let mut trial = cmd("SET");
    trial
        .arg(format!("{prefix}trial"))
        .arg(1)
        .arg("PX")
        .arg(1000);
    trial
}

/// A request in flight.
struct Question<'a> {
    shared: &'a Shared,
    asked: Instant,
    /// How long no request had been answered when this one was sent.
    silence: Duration,
}

impl<'a> Question<'a> {
    fn ask(shared: &'a Shared) -> Self {
        let now = u64::try_from(shared.origin.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let oldest = &shared.unanswered_since;
        let since = oldest.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        Self {
            shared,
            asked: Instant::now(),
            silence: since.map_or_else(
                |since| Duration::from_millis(now.saturating_sub(since)),
                |_| Duration::ZERO,
            ),
        }
    }

    fn answered(&self) {
        self.shared.unanswered_since.store(0, Ordering::Relaxed);
    }
}

impl Drop for Question<'_> {
    /// A request that its caller gave up early (a client that left) says nothing about the connection.
    fn drop(&mut self) {
        if self.asked.elapsed() < self.shared.response_timeout / 2 {
            self.answered();
        }
    }
}

/// Marks that a task is connecting, and clears the mark on drop, also after a panic.
struct Connecting(Weak<Shared>);

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.reconnecting.store(false, Ordering::SeqCst);
        }
    }
}

/// Tries to connect, with pauses that double, until it succeeds or the last handle is dropped.
async fn keep_connecting(link: Weak<Shared>) {
    let connecting = Connecting(Weak::clone(&link));
    let mut backoff = RECONNECT;
    loop {
        let Some(shared) = link.upgrade() else {
            return;
        };
        if shared.connect().await.is_ok() {
            // Cleared before the last check: if the new connection is lost already, a new task must be able
            // to start.
            drop(connecting);
            let was_away = shared.troubles.recovered(Instant::now());
            let away = was_away.map(|recovery| recovery.lasted);
            tracing::info!(?away, "connected to redis");
            if shared.live.load().is_none() {
                shared.reconnect();
            }
            return;
        }
        let cause = shared.last_error.lock().clone();
        shared.failed(&cause, "redis can't be reached, going on without");
        drop(shared);
        sleep(backoff.pause()).await;
    }
}
