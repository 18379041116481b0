//! The outbox' statements, and its rows as they come back.

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use trackops_domain::ids::{MessageId, OrderId};
use uuid::Uuid;

use super::types::{Millis, Text};
use crate::model::outbox_row::{OutboxEntry, OutboxRow, RowId};
use crate::model::topic::Topic;
use crate::ports::outbox::{
    OUTBOX_LANES, OutboxError, OutboxLanePosition, UNKNOWN_TOPIC, UnreadableRow, Wanted,
};

/// Removes rows, and returns each lane's first unknown rows after its position. The planner has no choice:
/// rows are found one by one by the primary key, and removed by their physical position; `LIMIT` keeps each
/// look-up where it is written. The second half still sees the removed rows, so they must be among the known
/// ones.
pub(super) const EXCHANGE: &str = "
    WITH removed AS (
        DELETE FROM outbox WHERE ctid = ANY (ARRAY(
            SELECT found.place
            FROM unnest($1::smallint[], $2::bigint[]) AS gone(lane, seq)
            CROSS JOIN LATERAL (
                SELECT o.ctid AS place FROM outbox o
                WHERE o.lane = gone.lane AND o.seq = gone.seq LIMIT 1
            ) found))
    )
    SELECT lanes.lane, r.seq, r.order_id, r.id, r.topic, r.version, r.ordinal, r.at, r.payload,
           r.traceparent
    FROM unnest($3::smallint[], $4::bigint[]) AS lanes(lane, after)
    CROSS JOIN LATERAL (
        SELECT f.*, sum(octet_length(f.payload)) OVER (ORDER BY f.seq) - octet_length(f.payload) AS before
        FROM (
            SELECT o.seq, o.order_id, o.id, o.topic, o.version, o.ordinal, o.at, o.payload, o.traceparent
            FROM outbox o
            WHERE o.lane = lanes.lane AND o.seq > lanes.after
              AND o.seq NOT IN (SELECT unnest($5::bigint[]))
            ORDER BY o.seq LIMIT $6
        ) f
    ) r
    WHERE r.before < $7";

pub(super) const SET_ASIDE: &str = "
    WITH moved AS (
        DELETE FROM outbox WHERE ctid = ANY (ARRAY(
            SELECT found.place
            FROM unnest($1::smallint[], $2::bigint[]) AS bad(lane, seq)
            CROSS JOIN LATERAL (
                SELECT o.ctid AS place FROM outbox o
                WHERE o.lane = bad.lane AND o.seq = bad.seq LIMIT 1
            ) found))
        RETURNING *
    )
    INSERT INTO outbox_set_aside
        (seq, lane, version, ordinal, at, id, order_id, topic, traceparent, payload, reason)
    SELECT seq, lane, version, ordinal, at, id, order_id, topic, traceparent, payload,
           ($3::text[])[array_position($2::bigint[], seq)]
    FROM moved
    ON CONFLICT DO NOTHING";

/// The most rows that are moved back at a time, each time in a transaction of its own.
pub(super) const TAKE_BACK_MAX: i64 = 1000;

pub(super) const TAKE_BACK: &str = "
    WITH back AS (
        DELETE FROM outbox_set_aside WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM outbox_set_aside
            WHERE lane = ANY ($1) AND topic = ANY ($2) AND reason = $3
            ORDER BY lane, seq LIMIT $4))
        RETURNING *
    )
    INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, traceparent, payload)
    SELECT lane, version, ordinal, at, id, order_id, topic, traceparent, payload
    FROM back ORDER BY seq";

/// What waits in each lane after the number up to which all rows are gone. It counts to a limit: counting
/// millions every few seconds costs more than relaying.
pub(super) const STATS: &str = "
    SELECT (lanes.n - 1)::smallint, first.seq, extract(epoch FROM now() - first.at)::float8, part.n,
           (SELECT count(*) FROM (
                SELECT FROM outbox_set_aside WHERE lane BETWEEN 0 AND 7 LIMIT $2) AS aside)
    FROM unnest($1::bigint[]) WITH ORDINALITY AS lanes(after, n)
    LEFT JOIN LATERAL (
        SELECT seq, at FROM outbox
        WHERE lane = (lanes.n - 1)::smallint AND seq > lanes.after ORDER BY seq LIMIT 1
    ) first ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS n FROM (
            SELECT FROM outbox
            WHERE lane = (lanes.n - 1)::smallint AND seq >= first.seq ORDER BY seq LIMIT $2
        ) AS counted
    ) part ON true";

/// How much a fetch took from each lane.
pub(super) struct Taken {
    /// The most rows of one lane.
    pub(super) rows_max: u32,
    pub(super) bytes_max: u32,
    lanes: [OutboxLaneRow; OUTBOX_LANES as usize],
}

#[derive(Clone, Copy, Default)]
struct OutboxLaneRow {
    rows: u32,
    bytes: usize,
    last: i64,
    /// Whether the lane may have more rows.
    is_cut: bool,
}

impl Taken {
    pub(super) fn of(wanted: &Wanted) -> Self {
        let lanes = u32::try_from(wanted.lanes.len()).unwrap_or(1).max(1);
        Self {
            rows_max: wanted.rows_max.div_ceil(lanes),
            bytes_max: wanted.bytes_max.div_ceil(lanes),
            lanes: Default::default(),
        }
    }

    pub(super) fn note(&mut self, row: &PgRow) -> Result<(), OutboxError> {
        let id = row_id(row)?;
        let payload: Text<'_> = row.try_get(8).map_err(unreadable)?;
        if let Some(lane) = self.lanes.get_mut(usize::from(id.lane)) {
            lane.rows += 1;
            lane.bytes += payload.0.len();
            lane.last = lane.last.max(id.seq);
            lane.is_cut = lane.rows >= self.rows_max || lane.bytes >= self.bytes_max as usize;
        }
        Ok(())
    }

    /// Whether any lane may have more rows.
    pub(super) fn is_cut(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_cut)
    }

    /// The position from which a lane is read next: every row up to it was returned, is known, or is gone.
    pub(super) fn next(&self, from: OutboxLanePosition, settled: i64, started_over: bool) -> i64 {
        let lane = self.lanes.get(usize::from(from.lane));
        let seen = match lane {
            Some(lane) if lane.is_cut => lane.last.min(settled),
            _ => settled,
        };
        if started_over {
            seen
        } else {
            seen.max(from.after)
        }
    }
}

pub(super) fn number(lane: u16) -> i16 {
    // No lane has this number, so a query for it finds nothing.
    i16::try_from(lane).unwrap_or(-1)
}

pub(super) fn parts(rows: &[RowId]) -> (Vec<i16>, Vec<i64>) {
    rows.iter().map(|row| (number(row.lane), row.seq)).unzip()
}

fn unreadable(error: sqlx::Error) -> OutboxError {
    OutboxError(error.into())
}

fn row_id(row: &PgRow) -> Result<RowId, OutboxError> {
    let lane: i16 = row.try_get(0).map_err(unreadable)?;
    Ok(RowId {
        lane: u16::try_from(lane).unwrap_or(u16::MAX),
        seq: row.try_get(1).map_err(unreadable)?,
    })
}

/// Reads a row. The outer error concerns the answer as a whole; a row with unreadable content is the inner
/// error.
pub(super) fn read(row: &PgRow) -> Result<Result<OutboxEntry, UnreadableRow>, OutboxError> {
    let row_id = row_id(row)?;
    let order: Uuid = row.try_get(2).map_err(unreadable)?;
    let id: Uuid = row.try_get(3).map_err(unreadable)?;
    let topic: &str = row.try_get(4).map_err(unreadable)?;
    let version: i32 = row.try_get(5).map_err(unreadable)?;
    let ordinal: i16 = row.try_get(6).map_err(unreadable)?;
    let at: Millis = row.try_get(7).map_err(unreadable)?;
    let payload: Text<'_> = row.try_get(8).map_err(unreadable)?;
    let traceparent: Option<&str> = row.try_get(9).map_err(unreadable)?;
    let bad = |reason: &str| {
        let reason = reason.to_owned();
        Ok(Err(UnreadableRow { row_id, reason }))
    };
    let Some(topic) = Topic::parse(topic) else {
        return bad(UNKNOWN_TOPIC);
    };
    let Ok(version) = u32::try_from(version) else {
        return bad("impossible version");
    };
    let Ok(ordinal) = u16::try_from(ordinal) else {
        return bad("impossible ordinal");
    };
    Ok(Ok(OutboxEntry {
        row_id,
        order: OrderId(order),
        row: OutboxRow {
            id: MessageId(id),
            topic,
            version,
            ordinal,
            at: at.0,
            payload: Bytes::from(payload),
            traceparent: traceparent.map(Into::into),
        },
    }))
}
