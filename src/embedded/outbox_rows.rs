//! The relay's statements on the outboxes' table. Each statement fixes how it finds its rows, so that
//! statistics can't change its plan. The file has one writer: rows become visible in the order of their
//! numbers.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use trackops_domain::ids::{MessageId, OrderId};
use trackops_domain::time::Timestamp;

use super::outbox_owner::Owner;
use super::text::json;
use crate::model::outbox_row::{OutboxEntry, OutboxRow, RowId};
use crate::model::topic::Topic;
use crate::ports::outbox::{
    COUNTED_MAX, Fetched, OUTBOX_LANES, OutboxLanePosition, UNKNOWN_TOPIC, UnreadableRow, Wanted,
};

/// Each lane's rows after its position: `?3` is the positions, null for a lane that isn't wanted. Rows are
/// found by number, for both owners together, so only new rows are scanned. The row that exceeds the byte
/// limit is the last.
pub(super) const FETCH: &str = "
    SELECT lane, seq, order_id, message_id, topic, version, ordinal, at, payload, traceparent
    FROM (
        SELECT f.*, sum(length(CAST(payload AS BLOB))) OVER (ORDER BY seq)
                    - length(CAST(payload AS BLOB)) AS before
        FROM (
            SELECT * FROM outbox NOT INDEXED
            WHERE seq > ?2 AND owner = ?1 AND seq > (?3 ->> lane)
              AND seq NOT IN (SELECT value FROM json_each(?4))
            ORDER BY seq LIMIT ?5
        ) f
    )
    WHERE before < ?6
    ORDER BY seq";

/// All rows up to this number are visible to the next reader.
const NEWEST: &str = "SELECT max(seq) FROM outbox";

/// A number belongs to one row of the whole table, so the owner isn't checked.
pub(super) const REMOVE: &str = "DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?1))";

pub(super) const COPY_ASIDE: &str = "
    INSERT OR IGNORE INTO outbox_set_aside
        (seq, owner, lane, order_id, message_id, topic, version, ordinal, at, payload, traceparent,
         inserted_at, reason)
    SELECT seq, owner, lane, order_id, message_id, topic, version, ordinal, at, payload, traceparent,
           inserted_at, ?2
    FROM outbox WHERE seq = ?1";

const COPY_BACK: &str = "
    INSERT INTO outbox (owner, lane, order_id, message_id, topic, version, ordinal, at, payload,
                        traceparent, inserted_at)
    SELECT owner, lane, order_id, message_id, topic, version, ordinal, at, payload, traceparent,
           inserted_at
    FROM outbox_set_aside
    WHERE owner = ?1 AND lane IN (SELECT value FROM json_each(?2))
      AND topic IN (SELECT value FROM json_each(?3)) AND reason = ?4
    ORDER BY seq";

const FORGET_ASIDE: &str = "
    DELETE FROM outbox_set_aside
    WHERE owner = ?1 AND lane IN (SELECT value FROM json_each(?2))
      AND topic IN (SELECT value FROM json_each(?3)) AND reason = ?4";

/// Counts to a limit; beyond it the range of numbers tells the most rows that there can be. The oldest row of
/// all is the oldest of one of the lanes.
pub(super) const STATS: &str = "
    SELECT (SELECT count(*) FROM (
                SELECT 1 FROM outbox INDEXED BY outbox_by_lane WHERE owner = ?1 LIMIT ?2)),
           (SELECT max(seq) FROM outbox) - (SELECT min(seq) FROM outbox) + 1,
           (SELECT min(first) FROM (
                SELECT (SELECT inserted_at FROM outbox INDEXED BY outbox_by_lane
                        WHERE owner = ?1 AND lane = lanes.value ORDER BY seq LIMIT 1) AS first
                FROM json_each('[0,1,2,3,4,5,6,7]') AS lanes)),
           (SELECT count(*) FROM (SELECT 1 FROM outbox_set_aside WHERE owner = ?1 LIMIT ?2))";

/// The first rows of each lane that are not known yet.
pub(super) async fn fetch(
    reads: &SqlitePool,
    owner: Owner,
    removed: &[RowId],
    wanted: &Wanted,
) -> sqlx::Result<Fetched> {
    let mut fetched = Fetched::default();
    if wanted.lanes.is_empty() {
        return Ok(fetched);
    }
    // Rows that are being removed may still be visible, so they count as known.
    let known = wanted.except.iter().chain(removed).map(|row| row.seq);
    let known = json(&known.collect::<Vec<_>>());
    let mut after = [None; OUTBOX_LANES as usize];
    for from in &wanted.lanes {
        if let Some(after) = after.get_mut(usize::from(from.lane)) {
            *after = Some(from.after);
        }
    }
    let lowest = after.iter().flatten().min().copied().unwrap_or_default();
    let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(reads).await?;
    let rows = sqlx::query(FETCH)
        .bind(owner.id())
        .bind(lowest)
        .bind(json(&after))
        .bind(known)
        .bind(wanted.rows_max)
        .bind(wanted.bytes_max)
        .fetch_all(reads)
        .await?;
    let mut bytes = 0;
    let mut last = lowest;
    for row in &rows {
        let payload: &[u8] = row.try_get(8)?;
        bytes += payload.len();
        last = row.try_get(1)?;
        fetched.rows.push(read(row)?);
    }
    fetched.has_more = rows.len() >= wanted.rows_max as usize || bytes >= wanted.bytes_max as usize;
    if !fetched.has_more {
        // The other owner's rows in between needn't be scanned again.
        last = last.max(newest.unwrap_or_default());
    }
    fetched.next = wanted
        .lanes
        .iter()
        .map(|from| OutboxLanePosition {
            lane: from.lane,
            after: last.max(from.after),
        })
        .collect();
    Ok(fetched)
}

pub(super) async fn remove(conn: &mut SqliteConnection, seqs: &[i64]) -> sqlx::Result<()> {
    let removed = sqlx::query(REMOVE).bind(json(&seqs)).execute(conn);
    removed.await.map(drop)
}

/// Moves the rows with these numbers to the set-aside table, each with its reason.
pub(super) async fn set_aside(
    conn: &mut SqliteConnection,
    rows: &[(i64, String)],
) -> sqlx::Result<()> {
    for (seq, reason) in rows {
        sqlx::query(COPY_ASIDE)
            .bind(seq)
            .bind(reason)
            .execute(&mut *conn)
            .await?;
    }
    let seqs: Vec<i64> = rows.iter().map(|(seq, _)| *seq).collect();
    remove(conn, &seqs).await
}

/// Moves back rows that were set aside for an unknown topic, if the topic is known by now.
pub(super) async fn take_back(
    conn: &mut SqliteConnection,
    owner: Owner,
    lanes: String,
) -> sqlx::Result<u64> {
    let topics = json(&Topic::ALL.map(Topic::as_str));
    let mut moved = 0;
    for statement in [COPY_BACK, FORGET_ASIDE] {
        let done = sqlx::query(statement)
            .bind(owner.id())
            .bind(&lanes)
            .bind(&topics)
            .bind(UNKNOWN_TOPIC)
            .execute(&mut *conn)
            .await?;
        moved = done.rows_affected();
    }
    Ok(moved)
}

/// The number of rows, the oldest one's time of insertion, and the number of set-aside rows.
pub(super) async fn stats(
    reads: &SqlitePool,
    owner: Owner,
) -> sqlx::Result<(i64, Option<i64>, i64)> {
    let limit = i64::from(COUNTED_MAX);
    let (counted, most, oldest, aside): (i64, Option<i64>, Option<i64>, i64) =
        sqlx::query_as(STATS)
            .bind(owner.id())
            .bind(limit)
            .fetch_one(reads)
            .await?;
    let pending = if counted < limit {
        counted
    } else {
        most.unwrap_or(counted).max(counted)
    };
    Ok((pending, oldest, aside))
}

/// Reads a row. The outer error concerns the answer as a whole; a row with unreadable content is the inner
/// error.
fn read(row: &SqliteRow) -> sqlx::Result<Result<OutboxEntry, UnreadableRow>> {
    let row_id = RowId {
        lane: row.try_get(0)?,
        seq: row.try_get(1)?,
    };
    let topic: &str = row.try_get(4)?;
    let version: i64 = row.try_get(5)?;
    let ordinal: i64 = row.try_get(6)?;
    let payload: &[u8] = row.try_get(8)?;
    let traceparent: Option<&str> = row.try_get(9)?;
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
        order: OrderId(row.try_get(2)?),
        row: OutboxRow {
            id: MessageId(row.try_get(3)?),
            topic,
            version,
            ordinal,
            at: Timestamp(row.try_get(7)?),
            payload: bytes::Bytes::copy_from_slice(payload),
            traceparent: traceparent.map(Into::into),
        },
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    const FILL: &str = "
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
        INSERT INTO outbox (owner, lane, order_id, message_id, topic, version, ordinal, at, payload,
                            inserted_at)
        SELECT n % 2, n % 8, randomblob(16), randomblob(16), 'ORDER_CREATED', 1, 0, 0, '{}', 0 FROM n";

    /// The table is empty, full and empty again, with statistics of any of these states.
    #[tokio::test]
    async fn no_plan_of_the_outbox_depends_on_statistics() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let schema = [
            include_str!("migrations/0001_start.sql"),
            include_str!("migrations/0003_outbox_set_aside.sql"),
        ];
        let states = [
            "",
            "ANALYZE",
            FILL,
            "ANALYZE",
            "DELETE FROM outbox",
            "ANALYZE",
        ];
        for sql in schema.into_iter().chain(states) {
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            if schema.contains(&sql) && sql == schema[0] {
                continue;
            }
            for statement in [FETCH, NEWEST, REMOVE, COPY_ASIDE, STATS] {
                let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
                let rows = sqlx::query(explain).fetch_all(&mut conn).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
                let walks = |line: &&String| line.contains("SCAN outbox");
                // Set-aside rows are few, and counted to a limit.
                let mut walks = plan.iter().filter(walks);
                let walk = walks.find(|line| !line.contains("outbox_set_aside"));
                assert_eq!(walk, None, "{statement}\n{plan:#?}");
                assert!(
                    plan.iter().any(|line| line.contains("SEARCH outbox")),
                    "{statement}\n{plan:#?}"
                );
            }
        }
    }
}
