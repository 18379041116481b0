//! The outbox of either database: the tables have the same names, so the same statements serve both.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgRow};
use tokio::sync::OnceCell;
use trackops_domain::ids::{MessageId, OrderId};
use uuid::Uuid;

use super::Kind;
use super::connections::Connections;
use super::listener::{Listener, OUTBOX};
use super::types::{Millis, Text};
use crate::codec::topics::Topic;
use crate::ports::outbox::{LANES, Outbox, OutboxEntry, OutboxError, OutboxRow, OutboxStats};

/// The first rows of a lane. An order's versions are numbered in their order, whatever connection each
/// was written by, so none of them comes without those before it.
pub(super) const FETCH: &str = "
    SELECT seq, order_id, id, topic, version, ordinal, at, payload, traceparent
    FROM outbox WHERE lane = $1 ORDER BY seq LIMIT $2";

pub(super) const ACKNOWLEDGE: &str = "
    DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS gone(lane, seq)
    WHERE o.lane = gone.lane AND o.seq = gone.seq";

const RELEASE: &str = "
    WITH gone AS (DELETE FROM outbox_holders WHERE holder = $1)
    UPDATE outbox_leases SET holder = NULL, until = '-infinity' WHERE holder = $1";

/// The oldest row of all is the oldest of one of the lanes. Counts to a million: past it a count
/// takes ever longer and says nothing new.
const STATS: &str = "
    SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 1000000) AS waiting),
           (SELECT extract(epoch FROM now() - min(oldest.at))::float8
            FROM generate_series(0, 7) AS lanes(lane)
            CROSS JOIN LATERAL (
                SELECT at FROM outbox WHERE lane = lanes.lane::smallint ORDER BY seq LIMIT 1
            ) oldest)";

/// One database's outbox on PostgreSQL.
#[derive(Debug)]
pub struct PgOutbox {
    kind: Kind,
    connections: Arc<Connections>,
    options: PgConnectOptions,
    /// Started by the first wait: who never waits needs no connection for it.
    listener: OnceCell<Listener>,
}

impl PgOutbox {
    pub(super) fn new(
        kind: Kind,
        connections: Arc<Connections>,
        options: PgConnectOptions,
    ) -> Self {
        Self {
            kind,
            connections,
            options,
            listener: OnceCell::new(),
        }
    }
}

#[async_trait]
impl Outbox for PgOutbox {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Vec<u16>, OutboxError> {
        let connection = self.connections.take().await?;
        let lanes: Vec<i16> = connection
            .run(async |connection| {
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
        let connection = self.connections.take().await?;
        connection
            .run(async |connection| sqlx::query(RELEASE).bind(holder).execute(connection).await)
            .await?;
        Ok(())
    }

    async fn fetch(&self, lane: u16, limit: u32) -> Result<Vec<OutboxEntry>, OutboxError> {
        let Ok(number) = i16::try_from(lane) else {
            return Ok(Vec::new());
        };
        let connection = self.connections.take().await?;
        let rows = connection
            .run(async |connection| {
                sqlx::query(FETCH)
                    .bind(number)
                    .bind(i64::from(limit))
                    .fetch_all(connection)
                    .await
            })
            .await?;
        rows.iter().map(|row| entry(lane, row)).collect()
    }

    async fn acknowledge(&self, seqs: &[i64]) -> Result<(), OutboxError> {
        if seqs.is_empty() {
            return Ok(());
        }
        let lanes: Vec<i16> = seqs
            .iter()
            // Within 0..LANES by the modulo.
            .map(|seq| i16::try_from(seq.rem_euclid(LANES.into())).unwrap_or(0))
            .collect();
        let stored: Vec<i64> = seqs
            .iter()
            .map(|seq| seq.div_euclid(LANES.into()))
            .collect();
        let connection = self.connections.take().await?;
        connection
            .run(async |connection| {
                sqlx::query(ACKNOWLEDGE)
                    .bind(&lanes)
                    .bind(&stored)
                    .execute(connection)
                    .await
            })
            .await?;
        Ok(())
    }

    async fn wait(&self, timeout: Duration) {
        let listener = self
            .listener
            .get_or_init(async || Listener::start(self.options.clone(), OUTBOX))
            .await;
        // Running out of time is the other way to be woken.
        let _ = tokio::time::timeout(timeout, listener.signalled()).await;
    }

    async fn stats(&self) -> Result<OutboxStats, OutboxError> {
        let connection = self.connections.take().await?;
        let (pending, oldest): (i64, Option<f64>) = connection
            .run(async |connection| sqlx::query_as(STATS).fetch_one(connection).await)
            .await?;
        Ok(OutboxStats {
            pending: u64::try_from(pending).unwrap_or(0),
            oldest_age: oldest.map(|secs| Duration::try_from_secs_f64(secs).unwrap_or_default()),
        })
    }
}

/// `seq` as the relay sees it carries the lane too, by which the row is found again.
fn entry(lane: u16, row: &PgRow) -> Result<OutboxEntry, OutboxError> {
    let unreadable = |error: sqlx::Error| OutboxError(error.into());
    let seq: i64 = row.try_get(0).map_err(unreadable)?;
    let order: Uuid = row.try_get(1).map_err(unreadable)?;
    let id: Uuid = row.try_get(2).map_err(unreadable)?;
    let topic: &str = row.try_get(3).map_err(unreadable)?;
    let version: i32 = row.try_get(4).map_err(unreadable)?;
    let ordinal: i16 = row.try_get(5).map_err(unreadable)?;
    let at: Millis = row.try_get(6).map_err(unreadable)?;
    let payload: Text<'_> = row.try_get(7).map_err(unreadable)?;
    let traceparent: Option<&str> = row.try_get(8).map_err(unreadable)?;
    let impossible = |what: &str| OutboxError(format!("impossible {what}").into());
    Ok(OutboxEntry {
        seq: seq * i64::from(LANES) + i64::from(lane),
        order: OrderId(order),
        row: OutboxRow {
            id: MessageId(id),
            topic: Topic::parse(topic).ok_or_else(|| impossible("topic"))?,
            version: u32::try_from(version).map_err(|_| impossible("version"))?,
            ordinal: u16::try_from(ordinal).map_err(|_| impossible("ordinal"))?,
            at: at.0,
            payload: Bytes::from(payload),
            traceparent: traceparent.map(Into::into),
        },
    })
}
