//! The append: many orders' rows as parallel arrays to one call of `append_orders`.

use std::collections::HashSet;

use sqlx::postgres::{PgBindIterExt as _, PgRow};
use sqlx::{PgConnection, Row as _};
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::{ShopId, Version};
use uuid::Uuid;

use super::connections::Connections;
use super::error::Failure;
use super::types::{Json, Millis, Text, has_nul};
use crate::faults;
use crate::model::event_row::EventRow;
use crate::model::outbox_row::OutboxRow;
use crate::ports::journal::{APPEND_ROWS_MAX, AppendError, AppendRow, Head, RowOutcome};
use crate::ports::outbox::OUTBOX_LANES;

const APPEND: &str = "SELECT fenced, created, updated FROM append_orders(
    $1, $2,
    $3, $4, $5, $6, $7, $8, $9, $10, $11,
    $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24, $25, $26,
    $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)";

/// Appends `rows`. A call in which a shard is fenced writes nothing, so the rows of the others go
/// in a second call: losing a shard is rare, and the usual call needs no look at each row's fence.
pub(super) async fn append(
    connections: &Connections,
    rows: &[AppendRow],
) -> Result<Vec<RowOutcome>, AppendError> {
    debug_assert!(rows.len() <= APPEND_ROWS_MAX, "too many rows in an append");
    refuse_nul(rows)?;
    let onto_stored;
    let rows = if faults::hit(faults::points::SKIP_VERSION_CHECK, "") {
        onto_stored = put_onto_stored(connections, rows).await?;
        &onto_stored
    } else {
        rows
    };
    let mut outcomes = vec![RowOutcome::Committed; rows.len()];
    let mut fenced = HashSet::new();
    // Each round but the last removes at least one (shard, epoch), so this ends.
    loop {
        let call = Call::of(
            rows.iter()
                .filter(|row| !fenced.contains(&(row.shard, row.epoch))),
        );
        if call.is_empty() {
            break;
        }
        let answer = connections
            .take()
            .await?
            .run(async |connection| call.send(connection).await)
            .await?;
        if answer.fenced.is_empty() {
            Call::mark_conflicts(&answer, rows, &mut outcomes);
            break;
        }
        for position in answer.fenced {
            let pair = usize::try_from(position - 1)
                .ok()
                .and_then(|n| call.pairs.get(n));
            let pair = pair.ok_or_else(|| Failure::Unreadable("no such shard".into()))?;
            fenced.insert(*pair);
        }
    }
    for (row, outcome) in rows.iter().zip(&mut outcomes) {
        if fenced.contains(&(row.shard, row.epoch)) {
            *outcome = RowOutcome::Fenced;
        }
    }
    Ok(outcomes)
}

/// The defect of `SKIP_VERSION_CHECK`, which a test must detect: rows continue from the stored version, not
/// from the expected one. (Leaving out only the condition would change nothing: the key of the events refuses
/// a version twice.)
async fn put_onto_stored(
    connections: &Connections,
    rows: &[AppendRow],
) -> Result<Vec<AppendRow>, AppendError> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        let (Some(expected), Some(event)) = (&mut row.expected, &mut row.event) else {
            continue;
        };
        let order = row.order.0;
        let stored: Option<i32> = connections
            .take()
            .await?
            .run(async |connection| {
                sqlx::query_scalar("SELECT version FROM orders WHERE id = $1")
                    .bind(order)
                    .fetch_optional(connection)
                    .await
            })
            .await?;
        let stored = stored.and_then(|version| u32::try_from(version).ok());
        *expected = Version(stored.unwrap_or(expected.0));
        event.version = expected.next();
        row.head.version = expected.next();
        for message in &mut row.outbox {
            message.version = expected.next().0;
        }
    }
    Ok(rows)
}

fn refuse_nul(rows: &[AppendRow]) -> Result<(), AppendError> {
    for row in rows {
        let data = row.event.as_ref().and_then(|event| event.data.as_deref());
        if data.is_some_and(has_nul) || has_nul(&row.head.saga) {
            return Err(AppendError::BadRow(
                format!("order {} holds U+0000", row.order).into(),
            ));
        }
    }
    Ok(())
}

/// The rows of one call, by kind. Within each kind they are sorted by order id, so that overlapping appends
/// take row and index locks in one order.
struct Call<'a> {
    pairs: Vec<(ShardId, Epoch)>,
    creations: Vec<&'a AppendRow>,
    updates: Vec<(&'a AppendRow, Version)>,
    events: Vec<(&'a AppendRow, &'a EventRow)>,
    messages: Vec<(&'a AppendRow, &'a OutboxRow)>,
}

/// The result of `append_orders`; `None` for a kind whose rows were all accepted.
struct Answer {
    fenced: Vec<i32>,
    created: Option<HashSet<Uuid>>,
    updated: Option<HashSet<Uuid>>,
}

impl<'a> Call<'a> {
    fn of(rows: impl Iterator<Item = &'a AppendRow>) -> Self {
        let mut rows: Vec<&AppendRow> = rows.collect();
        rows.sort_unstable_by_key(|row| row.order);
        let mut call = Self {
            pairs: rows.iter().map(|row| (row.shard, row.epoch)).collect(),
            creations: Vec::with_capacity(rows.len()),
            updates: Vec::new(),
            events: Vec::with_capacity(rows.len()),
            messages: Vec::with_capacity(rows.len()),
        };
        call.pairs.sort_unstable();
        call.pairs.dedup();
        for row in rows {
            match row.expected {
                None => call.creations.push(row),
                Some(version) => call.updates.push((row, version)),
            }
            call.events
                .extend(row.event.iter().map(|event| (row, event)));
            call.messages
                .extend(row.outbox.iter().map(|message| (row, message)));
        }
        call
    }

    fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    async fn send(&self, connection: &mut PgConnection) -> Result<Answer, sqlx::Error> {
        let skips_fence = faults::hit(faults::points::SKIP_FENCE, "");
        let epoch = |epoch: Epoch| if skips_fence { i64::MAX } else { epoch.0 };
        let (news, changes) = (&self.creations, &self.updates);
        let new_heads = || news.iter().map(|row| &row.head);
        let heads = || changes.iter().map(|(row, _)| &row.head);
        let events = || self.events.iter().map(|(_, event)| *event);
        let messages = || self.messages.iter().map(|(_, message)| *message);

        let row: PgRow = sqlx::query(APPEND)
            .bind(self.pairs.iter().map(|(s, _)| int2(s.0)).bind_iter())
            .bind(self.pairs.iter().map(|(_, e)| epoch(*e)).bind_iter())
            .bind(news.iter().map(|row| row.order.0).bind_iter())
            .bind(news.iter().map(|row| int2(row.shard.0)).bind_iter())
            .bind(new_heads().map(|head| int4(head.version)).bind_iter())
            .bind(new_heads().map(|head| head.status.as_str()).bind_iter())
            .bind(new_heads().map(|head| head.customer.0).bind_iter())
            .bind(new_heads().map(|head| Millis(head.created_at)).bind_iter())
            .bind(new_heads().map(|head| Millis(head.updated_at)).bind_iter())
            .bind(
                new_heads()
                    .map(|head| head.deadline.map(Millis))
                    .bind_iter(),
            )
            .bind(new_heads().map(saga).bind_iter())
            .bind(new_heads().map(shop).bind_iter())
            .bind(changes.iter().map(|(row, _)| row.order.0).bind_iter())
            .bind(
                changes
                    .iter()
                    .map(|(_, version)| int4(*version))
                    .bind_iter(),
            )
            .bind(heads().map(|head| int4(head.version)).bind_iter())
            .bind(heads().map(|head| head.status.as_str()).bind_iter())
            .bind(heads().map(|head| Millis(head.updated_at)).bind_iter())
            .bind(heads().map(|head| head.deadline.map(Millis)).bind_iter())
            .bind(heads().map(saga).bind_iter())
            .bind(self.events.iter().map(|(row, _)| row.order.0).bind_iter())
            .bind(events().map(|event| int4(event.version)).bind_iter())
            .bind(self.events.iter().map(|(row, _)| row.epoch.0).bind_iter())
            .bind(events().map(|event| Millis(event.at)).bind_iter())
            .bind(events().map(|event| &*event.by).bind_iter())
            .bind(events().map(|event| event.command.0).bind_iter())
            .bind(events().map(|event| event.status.as_str()).bind_iter())
            .bind(
                events()
                    .map(|event| event.data.as_deref().map(Json))
                    .bind_iter(),
            )
            .bind(self.messages.iter().map(|(row, _)| row.order.0).bind_iter())
            .bind(
                self.messages
                    .iter()
                    .map(|(row, _)| int2(row.shard.0 % OUTBOX_LANES))
                    .bind_iter(),
            )
            .bind(messages().map(|message| message.id.0).bind_iter())
            .bind(
                messages()
                    .map(|message| int4(Version(message.version)))
                    .bind_iter(),
            )
            .bind(messages().map(|message| int2(message.ordinal)).bind_iter())
            .bind(messages().map(|message| message.topic.as_str()).bind_iter())
            .bind(messages().map(|message| Millis(message.at)).bind_iter())
            .bind(messages().map(|message| Text(&message.payload)).bind_iter())
            .bind(
                messages()
                    .map(|message| message.traceparent.as_deref())
                    .bind_iter(),
            )
            .fetch_one(connection)
            .await?;
        Answer::read(&row)
    }

    fn mark_conflicts(answer: &Answer, rows: &[AppendRow], outcomes: &mut [RowOutcome]) {
        if answer.created.is_none() && answer.updated.is_none() {
            return;
        }
        for (row, outcome) in rows.iter().zip(outcomes) {
            let accepted = match row.expected {
                None => &answer.created,
                Some(_) => &answer.updated,
            };
            if accepted
                .as_ref()
                .is_some_and(|ids| !ids.contains(&row.order.0))
            {
                *outcome = RowOutcome::Conflict;
            }
        }
    }
}

impl Answer {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let ids = |column| -> Result<Option<HashSet<Uuid>>, sqlx::Error> {
            let ids: Option<Vec<Uuid>> = row.try_get(column)?;
            Ok(ids.map(|ids| ids.into_iter().collect()))
        };
        Ok(Self {
            fenced: row.try_get::<Option<Vec<i32>>, _>(0)?.unwrap_or_default(),
            created: ids(1)?,
            updated: ids(2)?,
        })
    }
}

fn saga(head: &Head) -> Json<'_> {
    Json(&head.saga)
}

fn shop(head: &Head) -> Option<&str> {
    head.shop.as_ref().map(ShopId::as_str)
}

/// Shards, lanes and ordinals are far below the limit. A number beyond it becomes one that matches no row.
fn int2(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(-1)
}

fn int4(version: Version) -> i32 {
    i32::try_from(version.0).unwrap_or(-1)
}
