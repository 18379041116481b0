//! The outbox of either database: the tables have the same names, so the same statements serve both.
//!
//! It has three connections of its own: one for the exchange of rows, one for the leases, which nothing may
//! hold up, and one for the rest. Commits of the first two don't wait for the disk: work that a crash loses
//! is done again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::OnceCell;

use super::connections::Connections;
use super::error::Failure;
use super::listener::{NotificationListener, OUTBOX};
use super::outbox_marks::Marks;
use super::outbox_rows::{
    EXCHANGE, SET_ASIDE, STATS, TAKE_BACK, TAKE_BACK_MAX, Taken, number, parts, read,
};
use super::settings::Kind;
use super::url::DatabaseOptions;
use crate::model::outbox_row::RowId;
use crate::model::topic::Topic;
use crate::ports::outbox::{
    COUNTED_MAX, Fetched, OUTBOX_LANES, Outbox, OutboxError, OutboxLanePosition, OutboxStats,
    UNKNOWN_TOPIC, UnreadableRow, Wanted,
};

/// For work that may be done twice: commits don't wait for the disk. Plans are made once, and use the index.
pub(super) const SESSION: &str = "
    SET synchronous_commit = off; SET plan_cache_mode = force_generic_plan;
    SET enable_bitmapscan = off; SET enable_sort = off";

const RELEASE: &str = "
    WITH gone AS (DELETE FROM outbox_holders WHERE holder = $1)
    UPDATE outbox_leases SET holder = NULL, until = '-infinity' WHERE holder = $1";

/// Beyond the counting limit the server's own estimate is good enough.
const ESTIMATE: &str = "SELECT pg_stat_get_live_tuples('outbox'::regclass)";

/// One database's outbox on PostgreSQL.
#[derive(Debug)]
pub struct PgOutbox {
    kind: Kind,
    exchange: PreparedConnection,
    leases: PreparedConnection,
    rest: PreparedConnection,
    known: Mutex<Known>,
    options: DatabaseOptions,
    /// Started by the first wait: an outbox that nobody waits for needs no connection to listen.
    listener: OnceCell<NotificationListener>,
}

/// What is known of the rows; valid as long as the exchange's connection lasts.
#[derive(Debug, Default)]
struct Known {
    /// The number of that connection.
    connection: u64,
    /// Whether this connection has fetched rows: only then do the callers' positions belong to it.
    has_fetched: bool,
    marks: Marks,
    /// For each lane, the number up to which all rows are gone.
    gone: [i64; OUTBOX_LANES as usize],
}

/// A connection that runs its setup statements when it is new.
#[derive(Debug)]
struct PreparedConnection {
    connections: Connections,
    setup: Arc<str>,
    ready: AtomicU64,
}

impl PreparedConnection {
    /// The server ends a statement after nine tenths of `run`, before its caller stops waiting.
    fn new(connections: Connections, run: Duration, more: &str) -> Self {
        let limit_ms = run.as_millis() * 9 / 10;
        Self {
            connections,
            setup: format!("{SESSION}; SET statement_timeout = {limit_ms}{more}").into(),
            ready: AtomicU64::new(0),
        }
    }

    /// Runs `work`, which gets the number of the connection.
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection, u64) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let taken = self.connections.take().await?;
        let number = taken.number();
        let is_new = self.ready.swap(number, Ordering::AcqRel) != number;
        // The text consists of this program's own text and a number.
        let setup = AssertSqlSafe(Arc::clone(&self.setup));
        taken
            .run(async |connection| {
                if is_new {
                    sqlx::raw_sql(setup).execute(&mut *connection).await?;
                }
                work(connection, number).await
            })
            .await
    }
}

impl PgOutbox {
    /// Each call of `one` gives a connection; its statements may take `run`.
    pub(super) fn new(
        kind: Kind,
        one: impl Fn() -> Connections,
        run: Duration,
        options: DatabaseOptions,
    ) -> Self {
        Self {
            kind,
            exchange: PreparedConnection::new(one(), run, ""),
            leases: PreparedConnection::new(one(), run, ""),
            // This connection inserts rows, and their numbers must not be drawn again after a crash.
            rest: PreparedConnection::new(one(), run, "; SET synchronous_commit = on"),
            known: Mutex::default(),
            options,
            listener: OnceCell::new(),
        }
    }

    /// Updates what is known of the rows. Returns the number up to which no row can appear any more, and
    /// whether the positions of earlier fetches are void.
    async fn refresh_marks(
        &self,
        connection: &mut PgConnection,
        number: u64,
        removed: usize,
    ) -> Result<(i64, bool), sqlx::Error> {
        let mut known = std::mem::take(&mut *self.known.lock());
        if known.connection != number {
            known = Known {
                connection: number,
                ..Known::default()
            };
        }
        known.marks.removed(removed);
        if known.marks.is_due() {
            // If this fails, nothing is known any more.
            known.marks.take(connection).await?;
        }
        let settled = known.marks.settled();
        let starts_over = !known.has_fetched;
        *self.known.lock() = known;
        Ok((settled, starts_over))
    }
}

#[async_trait]
impl Outbox for PgOutbox {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError> {
        let lanes: Vec<i16> = self
            .leases
            .run(async |connection, _| {
                sqlx::query_scalar("SELECT lease_lanes($1, make_interval(secs => $2))")
                    .bind(holder)
                    .bind(ttl.as_secs_f64())
                    .fetch_all(connection)
                    .await
            })
            .await?;
        Ok(lanes
            .into_iter()
            .filter_map(|n| n.try_into().ok())
            .collect())
    }

    async fn release(&self, holder: &str) -> Result<(), OutboxError> {
        self.leases
            .run(async |connection, _| sqlx::query(RELEASE).bind(holder).execute(connection).await)
            .await?;
        Ok(())
    }

    async fn exchange(&self, removed: &[RowId], wanted: &Wanted) -> Result<Fetched, OutboxError> {
        let (gone_lanes, gone_seqs) = parts(removed);
        let mut except: Vec<i64> = wanted.except.iter().map(|row| row.seq).collect();
        except.extend(&gone_seqs);
        let lanes: Vec<i16> = wanted.lanes.iter().map(|from| number(from.lane)).collect();
        let mut taken = Taken::of(wanted);
        let (rows, settled, started_over) = self
            .exchange
            .run(async |connection, number| {
                let (settled, started_over) = self
                    .refresh_marks(connection, number, removed.len())
                    .await?;
                let after: Vec<i64> = wanted
                    .lanes
                    .iter()
                    .map(|from| if started_over { 0 } else { from.after })
                    .collect();
                let rows = sqlx::query(EXCHANGE)
                    .bind(gone_lanes)
                    .bind(gone_seqs)
                    .bind(lanes)
                    .bind(after)
                    .bind(except)
                    .bind(i64::from(taken.rows_max))
                    .bind(i64::from(taken.bytes_max))
                    .fetch_all(connection)
                    .await?;
                if !wanted.lanes.is_empty() {
                    self.known.lock().has_fetched = true;
                }
                Ok((rows, settled, started_over))
            })
            .await?;
        let mut fetched = Fetched::default();
        for row in &rows {
            taken.note(row)?;
            fetched.rows.push(read(row)?);
        }
        fetched.has_more = taken.is_cut();
        fetched.next = wanted
            .lanes
            .iter()
            .map(|from| OutboxLanePosition {
                lane: from.lane,
                after: taken.next(*from, settled, started_over),
            })
            .collect();
        Ok(fetched)
    }

    async fn set_aside(&self, rows: &[UnreadableRow]) -> Result<(), OutboxError> {
        // If this fails, the caller discards the rows that were fetched with these marks.
        let has_fetched = std::mem::take(&mut self.known.lock().has_fetched);
        let ids: Vec<RowId> = rows.iter().map(|row| row.row_id).collect();
        let (lanes, seqs) = parts(&ids);
        let reasons: Vec<&str> = rows.iter().map(|row| &*row.reason).collect();
        self.rest
            .run(async |connection, _| {
                let moved = sqlx::query(SET_ASIDE).bind(lanes).bind(seqs).bind(reasons);
                moved.execute(connection).await
            })
            .await?;
        self.known.lock().has_fetched = has_fetched;
        Ok(())
    }

    async fn take_back(&self, lanes: &[u16]) -> Result<u64, OutboxError> {
        let lanes: Vec<i16> = lanes.iter().map(|lane| number(*lane)).collect();
        let topics: Vec<&str> = Topic::ALL.map(Topic::as_str).to_vec();
        let mut all = 0;
        loop {
            let some = self
                .rest
                .run(async |connection, _| {
                    sqlx::query(TAKE_BACK)
                        .bind(&lanes)
                        .bind(&topics)
                        .bind(UNKNOWN_TOPIC)
                        .bind(TAKE_BACK_MAX)
                        .execute(connection)
                        .await
                })
                .await?
                .rows_affected();
            all += some;
            if some == 0 {
                return Ok(all);
            }
        }
    }

    async fn wait(&self, timeout: Duration) {
        let listener = self
            .listener
            .get_or_init(async || NotificationListener::start(self.options.clone(), OUTBOX))
            .await;
        // A time-out wakes the relay as well.
        let _ = tokio::time::timeout(timeout, listener.signalled()).await;
    }

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        let (settled, connection, gone) = {
            let known = self.known.lock();
            (known.marks.settled(), known.connection, known.gone)
        };
        let limit = i64::from(COUNTED_MAX);
        let (lanes, estimate) = self
            .rest
            .run(async |connection, _| {
                let lanes: Vec<OutboxLaneStats> = sqlx::query_as(STATS)
                    .bind(gone.as_slice())
                    .bind(limit)
                    .fetch_all(&mut *connection)
                    .await?;
                let counted: i64 = lanes.iter().filter_map(|lane| lane.3).sum();
                let estimate: i64 = if counted < limit {
                    0
                } else {
                    sqlx::query_scalar(ESTIMATE).fetch_one(connection).await?
                };
                Ok((lanes, counted.max(estimate)))
            })
            .await?;
        let oldest = lanes.iter().filter_map(|lane| lane.2);
        let oldest = oldest.reduce(f64::max);
        let aside = lanes.first().map_or(0, |lane| lane.4);
        let mut known = self.known.lock();
        if known.connection == connection {
            for (at, first, ..) in &lanes {
                let gone = first.map_or(settled, |first| settled.min(first - 1));
                if let Some(known) = usize::try_from(*at)
                    .ok()
                    .and_then(|n| known.gone.get_mut(n))
                {
                    *known = gone.max(*known);
                }
            }
        }
        Ok(OutboxStats {
            pending: u64::try_from(estimate).unwrap_or(0),
            oldest_age: oldest.map(|secs| Duration::try_from_secs_f64(secs).unwrap_or_default()),
            set_aside: u64::try_from(aside).unwrap_or(0),
        })
    }
}

/// Lane, first row, its age, rows counted, and the set-aside rows of all lanes.
type OutboxLaneStats = (i16, Option<i64>, Option<f64>, Option<i64>, i64);
