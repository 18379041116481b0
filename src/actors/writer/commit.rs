//! Commits one batch: gives each row its epoch, halves the batch on a bad row, and has an unknown outcome
//! settled. Then it answers the callers and writes to the cache.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use trackops_cluster::ShardId;
use trackops_cluster::outage::causes;
use trackops_domain::order::Order;

use super::job::{AppendJob, WriteError};
use super::shared::Shared;
use crate::actors::cache_gate;
use crate::actors::ownership::Unwritable;
use crate::actors::tenure::{LocalShardState, Tenure};
use crate::faults;
use crate::ports::journal::{AppendError, AppendRow, RowOutcome};
use crate::telemetry::names;

/// When a row was known to be durable.
type Committed = Instant;

type Reply = tokio::sync::oneshot::Sender<Result<Committed, WriteError>>;

/// The caller that waits for a row, the order after the row with its view, and the tenure in which the row
/// was decided.
struct Waiting {
    reply: Reply,
    order: Arc<Order>,
    view: Bytes,
    tenure: Tenure,
}

/// Commits `jobs` in one statement if all goes well.
pub(super) async fn commit(shared: &Arc<Shared>, jobs: Vec<AppendJob>) {
    let part = jobs
        .into_iter()
        .map(|job| {
            let waiting = Waiting {
                reply: job.reply,
                order: job.order,
                view: job.view,
                tenure: job.tenure,
            };
            (job.row, waiting)
        })
        .unzip();
    // The halves are committed one after the other, so that a commit queue has at most one statement in
    // flight.
    let mut parts = vec![part];
    while let Some((rows, waiting)) = parts.pop() {
        if let Some(halves) = commit_part(shared, rows, waiting).await {
            parts.extend(halves);
        }
    }
}

type Part = (Vec<AppendRow>, Vec<Waiting>);

/// Gives every row its shard's current epoch. Rows that may not be written now are answered with an error and
/// left out.
fn under_epochs(shared: &Shared, rows: Vec<AppendRow>, waiting: Vec<Waiting>) -> Part {
    let mut part = (
        Vec::with_capacity(rows.len()),
        Vec::with_capacity(rows.len()),
    );
    for (mut row, waiting) in rows.into_iter().zip(waiting) {
        match shared.ownership.epoch_in(row.shard, waiting.tenure) {
            Ok(epoch) => {
                row.epoch = epoch;
                part.0.push(row);
                part.1.push(waiting);
            }
            Err(why) => answer(waiting.reply, Err(not_now(why))),
        }
    }
    part
}

fn not_now(why: Unwritable) -> WriteError {
    match why {
        Unwritable::NotOwned => WriteError::NotOwner,
        Unwritable::Settling => WriteError::Unavailable,
    }
}

fn refused(shared: &Shared, error: &(dyn std::error::Error + 'static), what: &str) {
    if let Some(repeats) = shared.refusals.failed(Instant::now()) {
        let (error, appends, lasting) = (causes(error), repeats.count, repeats.lasting);
        tracing::warn!(error, appends, ?lasting, "{what}");
    }
}

/// Commits one part. Returns its halves if one of its rows is bad.
async fn commit_part(
    shared: &Arc<Shared>,
    rows: Vec<AppendRow>,
    waiting: Vec<Waiting>,
) -> Option<[Part; 2]> {
    let (mut rows, mut waiting) = under_epochs(shared, rows, waiting);
    if rows.is_empty() {
        return None;
    }
    if faults::hit(faults::points::ANSWER_BEFORE_COMMIT, "") {
        waiting = answer_already(waiting);
    }
    faults::crash(faults::points::CRASH_BEFORE_APPEND);
    let started = Instant::now();
    let result = shared.journal.append(&rows).await;
    let committed = Instant::now();
    metrics::histogram!(names::JOURNAL_COMMIT_DURATION).record(committed - started);
    match result {
        Ok(outcomes) => {
            #[expect(clippy::cast_precision_loss, reason = "a batch has at most 512 rows")]
            metrics::histogram!(names::JOURNAL_BATCH_SIZE).record(rows.len() as f64);
            faults::crash(faults::points::CRASH_AFTER_APPEND);
            if let Some(outage) = shared.refusals.recovered(committed) {
                let (appends, lasted) = (outage.count, outage.lasted);
                tracing::info!(appends, ?lasted, "the journal takes appends again");
            }
            shared.announcer.announce();
            // The next batch need not wait for this batch's cache write.
            let shared_too = Arc::clone(shared);
            shared
                .tasks
                .spawn(finish(shared_too, rows, outcomes, waiting, committed));
        }
        Err(AppendError::BadRow(error)) if rows.len() == 1 => {
            tracing::error!(order = %rows[0].order, %error, "the journal refuses a row");
            answer_all(waiting, WriteError::Refused);
        }
        Err(AppendError::BadRow(_)) => {
            let middle = rows.len() / 2;
            let (other_rows, other_waiting) = (rows.split_off(middle), waiting.split_off(middle));
            return Some([(rows, waiting), (other_rows, other_waiting)]);
        }
        Err(AppendError::Unavailable(error)) => {
            refused(shared, &*error, "append not possible");
            answer_all(waiting, WriteError::Unavailable);
        }
        Err(AppendError::Unknown(error)) => {
            refused(shared, &*error, "append of unknown outcome");
            settle(shared, &rows);
            answer_all(waiting, WriteError::Unknown);
        }
    }
    None
}

/// Suspends the shards of `rows` and claims them again in the background.
fn settle(shared: &Arc<Shared>, rows: &[AppendRow]) {
    let shards: BTreeSet<ShardId> = rows.iter().map(|row| row.shard).collect();
    for shard in &shards {
        shared.ownership.suspend(*shard);
    }
    let shared_too = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let shards: Vec<ShardId> = shards.into_iter().collect();
        shared_too.ownership.settle(&shards, &shared_too.gate).await;
    });
}

/// The rows are durable: stops reads of older cache entries, answers, then writes through to the cache. If
/// too many cache writes are in flight already, the answers wait for this one.
async fn finish(
    shared: Arc<Shared>,
    rows: Vec<AppendRow>,
    outcomes: Vec<RowOutcome>,
    waiting: Vec<Waiting>,
    committed: Committed,
) {
    let (mut replies, mut entries) = (
        Vec::with_capacity(rows.len()),
        Vec::with_capacity(rows.len()),
    );
    for (outcome, (row, waiting)) in outcomes.into_iter().zip(rows.iter().zip(waiting)) {
        let result = match outcome {
            RowOutcome::Committed => {
                entries.push(cache_gate::Committed {
                    shard: row.shard,
                    order: waiting.order,
                    view: waiting.view,
                });
                Ok(committed)
            }
            RowOutcome::Conflict => Err(WriteError::Conflict),
            RowOutcome::Fenced => Err(fenced(&shared, row)),
        };
        replies.push((waiting.reply, result));
    }
    let unconfirmed = shared.gate.committed(entries);
    let answer_all = || {
        for (reply, result) in replies {
            answer(reply, result);
        }
    };
    if let Some(_ahead) = unconfirmed.ahead() {
        answer_all();
        unconfirmed.write().await;
        faults::crash(faults::points::CRASH_AFTER_CACHE);
    } else {
        unconfirmed.write().await;
        faults::crash(faults::points::CRASH_AFTER_CACHE);
        answer_all();
    }
}

/// A row was refused because its shard has a higher epoch. If that is a later epoch of this replica, only
/// this attempt is lost.
fn fenced(shared: &Shared, row: &AppendRow) -> WriteError {
    metrics::counter!(names::FENCED_APPENDS).increment(1);
    if shared.ownership.fenced(row.shard, row.epoch) {
        tracing::warn!(shard = %row.shard, "append fenced: another replica owns the shard");
        return WriteError::NotOwner;
    }
    match shared.ownership.state(row.shard).0 {
        LocalShardState::Free(_) => WriteError::NotOwner,
        _ => WriteError::Unavailable,
    }
}

/// A deliberate defect for a test: tells success before it is known. The callers are replaced by channels
/// that nobody reads.
fn answer_already(waiting: Vec<Waiting>) -> Vec<Waiting> {
    let answered = waiting.into_iter().map(|waiting| {
        answer(waiting.reply, Ok(Instant::now()));
        Waiting {
            reply: tokio::sync::oneshot::channel().0,
            ..waiting
        }
    });
    answered.collect()
}

fn answer_all(waiting: Vec<Waiting>, error: WriteError) {
    for one in waiting {
        answer(one.reply, Err(error));
    }
}

fn answer(reply: Reply, result: Result<Committed, WriteError>) {
    // An error means that the actor has ended; the journal says what happened.
    let _ = reply.send(result);
}
